"""voice2face as the training loop sees it (section 3, Algorithm 1), and the base of systems that train in its way.

Stage `speakers` trains the voice encoder to tell the training people apart; stage `gan` freezes it and trains the
generator against a discriminator and a classifier of people that share their layers. Voices and faces of a batch are
drawn independently.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from models.data.sampler import generator, independent_batch
from models.data.store import Store
from models.embedders.base import Embedder
from models.systems.base import Batch, Critic, Recogniser, System, SystemSpec, VoiceToFace, update
from models.systems.voice2face.networks import Generator, SpeakerEncoder, Trunk, head, tiled, unit
from models.systems.voice2face.presets import GAN, INPUTS, SPEAKERS, Preset, make_preset
from models.training.presets import frames

HOP_S = 0.01


class VoiceFace(VoiceToFace):
    """Encoder and generator."""

    def __init__(self, preset: Preset, n_mels: int) -> None:
        super().__init__()
        self.preset = preset
        self.encoder = SpeakerEncoder(preset.encoder(n_mels))
        self.generator = self.make_generator(preset)

    def make_generator(self, preset: Any) -> nn.Module:
        """The generator of the system."""
        return Generator(preset.generator())

    def embed(self, mel_BFT: Tensor) -> Tensor:
        embedding_BD: Tensor = self.encoder(tiled(mel_BFT, round(self.preset.tile_s / HOP_S)))
        return unit(embedding_BD) if self.preset.noise else embedding_BD

    def decode(self, embedding_BD: Tensor) -> Tensor:
        image_B3SS: Tensor = self.generator(embedding_BD)
        return image_B3SS

    def fuse(self, embedding_BKD: Tensor, mask_BK: Tensor) -> Tensor:
        kept_BK1 = mask_BK[:, :, None].to(embedding_BKD.dtype)
        mean_BD = (embedding_BKD * kept_BK1).sum(dim=1) / kept_BK1.sum(dim=1)
        return unit(mean_BD) if self.preset.noise else mean_BD


class VoiceCritic(Critic):
    """The discriminator: the shared layers and its own head."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.trunk = self.make_trunk(preset)
        self.judge = head(preset.trunk_features, 1, bias=preset.head_bias)

    def make_trunk(self, preset: Any) -> nn.Module:
        """The shared layers of the system."""
        return Trunk(preset.trunk())

    def forward(self, image_B3SS: Tensor) -> Tensor:
        odds_B: Tensor = self.judge(self.trunk(image_B3SS))[:, 0]
        return odds_B


class VoiceRecogniser(Recogniser):
    """The classifier: the layers that it shares with the discriminator, and its own head."""

    def __init__(self, preset: Preset, people: int, critic: type[VoiceCritic] = VoiceCritic) -> None:
        super().__init__()
        self.trunk = critic(preset).trunk
        self.classifier = head(preset.trunk_features, people, bias=preset.head_bias)

    def forward(self, image_B3SS: Tensor) -> Tensor:
        logits_BN: Tensor = self.classifier(self.trunk(image_B3SS))
        return logits_BN


class VoiceGan(System):
    """One training in the way of Algorithm 1. Both halves of the system may be given, with other networks in them."""

    fixed_shapes = frozenset({SPEAKERS, GAN})
    faces: VoiceFace

    def __init__(
        self,
        preset: Preset,
        store: Store,
        embedder: Embedder,
        *,
        hop_s: float,
        seed: int,
        faces: type[VoiceFace] = VoiceFace,
        critic: type[VoiceCritic] = VoiceCritic,
    ) -> None:
        self.preset = preset
        self.store = store
        self.seed = seed
        self.crop_frames = frames(preset.crop_s, hop_s)
        people = len(store.people)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.faces, self.critic = faces(preset, store.n_mels), critic(preset)
            self.speakers = nn.Linear(preset.encoder_channels[-1], people)
            self.classifier = head(preset.trunk_features, people, bias=preset.head_bias)
        for network in self.networks().values():
            network.to(store.device)
        betas = (preset.beta_1, preset.beta_2)
        self.optimisers = {
            "speakers": torch.optim.Adam(_parameters(self.faces.encoder, self.speakers), preset.speaker_learning_rate),
            "generator": torch.optim.Adam(_parameters(self.faces.generator), preset.learning_rate, betas),
            "judges": torch.optim.Adam(_parameters(self.critic, self.classifier), preset.learning_rate, betas),
        }

    def networks(self) -> dict[str, nn.Module]:
        """Encoder, its speaker classifier, generator, the judges' shared layers, and their two heads."""
        return {
            "encoder": self.faces.encoder,
            "speakers": self.speakers,
            "generator": self.faces.generator,
            "trunk": self.critic.trunk,
            "judge": self.critic.judge,
            "classifier": self.classifier,
        }

    def batch(self, stage: str, step: int) -> Batch:
        """Log-mels, portraits, and whose each of them is; and what the stage draws besides."""
        store, preset = self.store, self.preset
        batch = independent_batch(
            store.face_groups,
            store.utterance_groups,
            store.frames,
            batch_size=preset.batch_size,
            crop_frames=self.crop_frames,
            seed=self.seed,
            step=step,
            share=store.share,
        )
        tensors = {
            "mel": store.crops(batch.utterances, batch.starts, batch.length),
            "speaker": store.put(batch.speakers),
        }
        # Drawn for the whole batch and cut, so that noise does not depend on how many processes share it.
        rng, size = generator(self.seed, step, 0), (preset.batch_size, preset.encoder_channels[-1])
        if stage == SPEAKERS:
            if preset.speaker_dropout:
                kept = rng.random(size, np.float32) >= preset.speaker_dropout
                # Dropout as a part of the batch: what torch draws within a step follows from all it has drawn before,
                # so a resumed run would go on otherwise.
                tensors["kept"] = store.put(store.share.part(kept)) / (1 - preset.speaker_dropout)
            return Batch(tensors=tensors)
        image_B3SS = store.images(batch.faces)
        if preset.flip:
            image_B3SS = torch.where(store.put(batch.flips)[:, None, None, None], image_B3SS.flip(3), image_B3SS)
        if preset.noise:
            tensors["noise"] = store.put(store.share.part(rng.standard_normal(size, np.float32)))
        return Batch(tensors=tensors | {"image": image_B3SS, "shown": store.put(batch.shown)})

    def compute(self, stage: str, batch: Batch) -> dict[str, Tensor]:
        """A step of the encoder as a speaker classifier; or of the judges, then of the generator."""
        for name, network in self.networks().items():
            network.train(name != "encoder" or stage == SPEAKERS)
        return self._speakers(batch) if stage == SPEAKERS else self._gan(batch)

    def _speakers(self, batch: Batch) -> dict[str, Tensor]:
        embedding_BD, speaker_B = self.faces.embed(batch["mel"]), batch["speaker"]
        logits_BN = self.speakers(embedding_BD * batch["kept"] if self.preset.speaker_dropout else embedding_BD)
        loss = nnf.cross_entropy(logits_BN, speaker_B)
        update(self.optimisers["speakers"], loss)
        return {"loss": loss.detach(), "speakers_right": (logits_BN.argmax(1) == speaker_B).float().mean()}

    def _gan(self, batch: Batch) -> dict[str, Tensor]:
        # F_e is fixed: neither gradients nor, in evaluation mode, statistics of its BatchNorm.
        with torch.no_grad():
            embedding_BD = self.faces.embed(batch["mel"])
            if self.preset.noise:
                # On the unit sphere, and back onto it: 0.05 is a deviation per value of a unit vector of 64, some 20
                # degrees.
                embedding_BD = unit(embedding_BD + self.preset.noise * batch["noise"])
        fake_B3SS = self.faces.decode(embedding_BD)
        # Algorithm 1 updates F_d, then F_c, then F_g. The first two share their layers, so one step on the sum of their
        # losses is taken: two steps of one Adam on the same weights would count each batch twice in its moments.
        judged = self._train_judges(fake_B3SS.detach(), batch["image"], batch["shown"])
        return judged | self._train_generator(fake_B3SS, batch["speaker"])

    def _train_judges(self, fake_B3SS: Tensor, real_B3SS: Tensor, shown_B: Tensor) -> dict[str, Tensor]:
        for judge in (self.critic, self.classifier):
            judge.requires_grad_(True)
        features_BC = self.critic.trunk(real_B3SS)
        real_B, fake_B = self.critic.judge(features_BC)[:, 0], self.critic(fake_B3SS)
        # -log D(f) - log(1 - D(f^)) of a sigmoid D, without the sigmoid: log odds far from 0 would round to log 0.
        loss = nnf.softplus(-real_B).mean() + nnf.softplus(fake_B).mean()
        # Real portraits only (step 5). Whom they show has nothing to do with the speakers of this batch (steps 2 and
        # 3).
        loss_id = nnf.cross_entropy(self.classifier(features_BC), shown_B)
        update(self.optimisers["judges"], loss + loss_id)
        for judge in (self.critic, self.classifier):
            judge.requires_grad_(False)
        right = torch.cat([real_B > 0, fake_B < 0]).float().mean()
        return {
            "discriminator": loss.detach(),
            "discriminator_accuracy": right,
            "discriminator_identity": loss_id.detach(),
        }

    def _train_generator(self, fake_B3SS: Tensor, speaker_B: Tensor) -> dict[str, Tensor]:
        features_BC = self.critic.trunk(fake_B3SS)
        adversarial = nnf.softplus(-self.critic.judge(features_BC)[:, 0]).mean()
        # The generator's faces must show the speaker (step 6): the one place where voice and face of a person meet.
        identity = nnf.cross_entropy(self.classifier(features_BC), speaker_B)
        loss = self.preset.weight_adversarial * adversarial + self.preset.weight_identity * identity
        update(self.optimisers["generator"], loss)
        return {"loss": loss.detach(), "adversarial": adversarial.detach(), "identity": identity.detach()}

    @torch.no_grad()
    def samples(self, stage: str, count: int) -> tuple[Tensor, Tensor]:
        """Real portraits and faces generated from the same people's speech, for the first `count` people."""
        store, people = self.store, self.store.first_people(count)
        self.faces.eval()
        first = store.utterance_groups.first[people]
        mel_BFT = store.crops(first, np.zeros_like(first), self.crop_frames[1])
        return store.images(store.face_groups.first[people]), self.faces.decode(self.faces.embed(mel_BFT))


def _parameters(*networks: nn.Module) -> list[nn.Parameter]:
    return [parameter for network in networks for parameter in network.parameters()]


VOICE2FACE = SystemSpec(
    name="voice2face",
    about="voice2face: an encoder that knows speakers, then a GAN; with the variants of later papers",
    make_preset=make_preset,
    train=VoiceGan,
    voice_to_face=VoiceFace,
    critic=VoiceCritic,
    recogniser=VoiceRecogniser,
    inputs=INPUTS,
)
