"""`align` as the training loop sees it: not a paper's system, but what the recent literature says matters more.

Stage `align` trains the voice encoder to meet its speaker in the identity space of a frozen face embedder: InfoNCE
against portraits of the batch, a margin softmax over the training people, and the cosine to the person's mean portrait.
Stage `faces` freezes it and trains SF2F's decoder on the mean identity of a voice's windows, with L1, a discriminator,
and the cosine of what it paints to the identity that it was given: a person's own would ask for what no voice says.
There is no fuser: the mean of aligned windows is the fused voice.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from models.data.sampler import crop_batch, generator, speech_batch
from models.data.store import Store
from models.embedders import PUBLISHED
from models.embedders.base import Embedder
from models.errors import ConfigError
from models.precision import without_autocast
from models.pretrained.needs import Need
from models.systems.align.networks import IdentityEncoder, Margin, ProjectionDiscriminator, augmented, contrast
from models.systems.align.presets import ALIGN, Preset, make_preset
from models.systems.base import Batch, Critic, System, SystemSpec, VoiceToFace, update
from models.systems.sf2f.networks import FaceDecoder
from models.training.average import move
from models.training.presets import frames, window_frames

_CHUNK = 256


class AlignedFace(VoiceToFace):
    """Encoder and the kept decoder."""

    def __init__(self, preset: Preset, n_mels: int) -> None:
        super().__init__()
        self.encoder = IdentityEncoder(preset.encoder(n_mels), preset.identity)
        self.decoder = FaceDecoder(preset.decoder())

    def embed(self, mel_BFT: Tensor) -> Tensor:
        identity_BE: Tensor = self.encoder(mel_BFT)
        return identity_BE

    def decode(self, embedding_BD: Tensor) -> Tensor:
        image_B3SS: Tensor = self.decoder(embedding_BD)
        return image_B3SS


class AlignedCritic(Critic):
    """The discriminator, without a voice."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.discriminator = ProjectionDiscriminator(preset.discriminator_channels, preset.identity)

    def forward(self, image_B3SS: Tensor) -> Tensor:
        odds_B: Tensor = self.discriminator(image_B3SS, None)
        return odds_B


class Align(System):
    """One training. Raises `ConfigError` where the embedder's size is not the preset's."""

    fixed_shapes = frozenset({ALIGN})
    averages_itself = True
    twice_differentiated = frozenset({"discriminator"})
    embedder: Embedder
    faces: AlignedFace

    def __init__(self, preset: Preset, store: Store, embedder: Embedder, *, hop_s: float, seed: int) -> None:
        self.preset = preset
        self.store = store
        self.embedder = embedder
        self.seed = seed
        self.crop_frames = frames(preset.crop_s, hop_s)
        self.speech_frames = frames(preset.speech_s, hop_s)
        self.window, self.hop = window_frames(preset.window_s, preset.window_overlap, hop_s)
        self.identity_ME = self._identities()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.faces = AlignedFace(preset, store.n_mels)
            self.painter = FaceDecoder(preset.decoder())
            self.critic = AlignedCritic(preset)
            self.people = Margin(preset.identity, len(store.people), margin=preset.margin, scale=preset.scale)
        self.faces.decoder.load_state_dict(self.painter.state_dict())
        with torch.no_grad():
            # The margin's classes begin at the faces of the people and not at random: the softmax pulls voices towards
            # faces from the first step on.
            self.people.centres_NE.copy_(self.person_NE.cpu())
        for network in self.networks().values():
            network.to(store.device)
        # What is evaluated is the running mean, `decoder`; `painter` is what learns.
        self.faces.decoder.requires_grad_(False)
        betas = (preset.beta_1, preset.beta_2)
        self.optimisers = {
            "encoder": torch.optim.Adam(
                [*self.faces.encoder.parameters(), self.people.centres_NE], preset.learning_rate, betas
            ),
            "painter": torch.optim.Adam(self.painter.parameters(), preset.learning_rate, betas),
            "discriminator": torch.optim.Adam(self.critic.parameters(), preset.learning_rate, betas),
        }

    def networks(self) -> dict[str, nn.Module]:
        """Encoder, the people's centres, the trained and the kept decoder, the discriminator."""
        return {
            "encoder": self.faces.encoder,
            "people": self.people,
            "painter": self.painter,
            "decoder": self.faces.decoder,
            "discriminator": self.critic.discriminator,
        }

    @torch.no_grad()
    def _identities(self) -> Tensor:
        """Unit identities (M, E) of all portraits, and in `person_NE` the unit mean of each person's."""
        store, count = self.store, int(self.store.face_groups.count.sum())
        chunks = [np.arange(at, min(at + _CHUNK, count)) for at in range(0, count, _CHUNK)]
        identity_ME = torch.cat([self.embedder.embed(store.images(chunk)) for chunk in chunks])
        if identity_ME.shape[1] != self.preset.identity:
            raise ConfigError(
                f"overrides.identity = {self.preset.identity}: the embedder {self.embedder.name} has "
                f"{identity_ME.shape[1]} values; set overrides.identity to that"
            )
        owner_M = torch.from_numpy(np.repeat(np.arange(len(store.people)), store.face_groups.count)).to(store.device)
        # The mean of unit vectors, scaled to unit length again, as evaluations have it (SF2F, App. E.2).
        sums_NE = torch.zeros(len(store.people), identity_ME.shape[1], device=store.device)
        self.person_NE = nnf.normalize(sums_NE.index_add_(0, owner_M, identity_ME))
        return identity_ME

    def batch(self, stage: str, step: int) -> Batch:
        """Crops, or windows over long stretches with their mask, a portrait of each speaker, and augmentation."""
        return self._crops(step) if stage == ALIGN else self._windows(step)

    def compute(self, stage: str, batch: Batch) -> dict[str, Tensor]:
        """A step of the encoder; or of the discriminator, then of the decoder."""
        aligning = stage == ALIGN
        for name, network in self.networks().items():
            network.train(aligning if name == "encoder" else name != "decoder")
        return self._align(batch) if aligning else self._paint(batch)

    def _crops(self, step: int) -> Batch:
        store, preset = self.store, self.preset
        batch = crop_batch(
            store.face_groups,
            store.utterance_groups,
            store.frames,
            batch_size=preset.align_batch_size,
            crop_frames=self.crop_frames,
            seed=self.seed,
            step=step,
            share=store.share,
        )
        mel_BFT = store.crops(batch.utterances, batch.starts, batch.length)
        return Batch(tensors={"mel": mel_BFT, "person": store.put(batch.people), "face": store.put(batch.faces)})

    def _windows(self, step: int) -> Batch:
        store, preset = self.store, self.preset
        batch = speech_batch(
            store.face_groups,
            store.utterance_groups,
            batch_size=preset.batch_size,
            speech_frames=self.speech_frames,
            seed=self.seed,
            step=step,
            share=store.share,
        )
        # Every window goes through the frozen encoder: the cap keeps a step from being mostly that.
        most = self.window + (preset.paint_windows - 1) * self.hop if preset.paint_windows else batch.length
        length = min(batch.length, most)
        mel_BKFT, mask_BK = store.windows(batch.utterances, length, window=self.window, hop=self.hop)
        tensors = {"mel": mel_BKFT, "mask": mask_BK, "image": store.images(batch.faces)}
        if preset.diffaugment:
            drawn = generator(self.seed, step, 0).random((preset.batch_size, 6), np.float32)
            tensors["augment"] = store.put(store.share.part(drawn))
        return Batch(tensors=tensors | {"person": store.put(batch.people)})

    def _align(self, batch: Batch) -> dict[str, Tensor]:
        preset, person_B, face_B = self.preset, batch["person"], batch["face"]
        voice_BE = self.faces.encoder(batch["mel"])
        terms = {
            "contrast": (
                preset.weight_contrast,
                contrast(voice_BE, self.identity_ME[face_B], person_B, preset.temperature),
            ),
            "margin": (preset.weight_margin, self.people(voice_BE, person_B)),
            # One minus the cosine: both are unit vectors.
            "regression": (preset.weight_regression, 1 - (voice_BE * self.person_NE[person_B]).sum(dim=1).mean()),
        }
        loss = torch.stack([weight * term for weight, term in terms.values()]).sum()
        update(self.optimisers["encoder"], loss)
        return {"loss": loss.detach()} | {name: term.detach() for name, (_, term) in terms.items()}

    def _paint(self, batch: Batch) -> dict[str, Tensor]:
        preset, mask_BK, real_B3SS = self.preset, batch["mask"], batch["image"]
        with torch.no_grad():
            voice_BKE = self.faces.encoder(batch["mel"].flatten(0, 1)).unflatten(0, mask_BK.shape)
            # The encoder is fixed: were it to learn from pixels, it would leave the identity space that the first stage
            # has put it into.
            voice_BE = self.faces.fuse(voice_BKE, mask_BK)
        fake_B3SS = self.painter(voice_BE)
        judged = self._judge(fake_B3SS.detach(), real_B3SS, voice_BE, batch) if preset.weight_adversarial else {}
        terms = {
            "l1": (preset.weight_l1, nnf.l1_loss(fake_B3SS, real_B3SS)),
            # Against the identity that was given and not the person's own: what no voice says could only be learnt by
            # heart.
            "identity": (preset.weight_identity, 1 - (self.embedder.embed(fake_B3SS) * voice_BE).sum(dim=1).mean()),
        }
        if preset.weight_adversarial:
            self.critic.requires_grad_(False)
            odds_B = self._odds(fake_B3SS, voice_BE, batch)
            # Relativistic: a generated face need only look more real than this real one (Huang et al. 2024), so that
            # the loss has a slope also where the discriminator is sure.
            against_B = self._odds(real_B3SS, voice_BE, batch) if preset.relativistic else torch.zeros_like(odds_B)
            terms["adversarial"] = (preset.weight_adversarial, nnf.softplus(against_B - odds_B).mean())
        loss = torch.stack([weight * term for weight, term in terms.values()]).sum()
        update(self.optimisers["painter"], loss)
        move(self.faces.decoder, self.painter, preset.ema)
        return judged | {"loss": loss.detach()} | {name: term.detach() for name, (_, term) in terms.items()}

    def _judge(self, fake_B3SS: Tensor, real_B3SS: Tensor, voice_BE: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Train the discriminator; the penalties are on its gradient at what it sees (Roth et al. 2017, R1 and R2)."""
        preset = self.preset
        self.critic.requires_grad_(True)
        with without_autocast(real_B3SS.device, preset.r1 > 0 or preset.r2 > 0):
            # Only what a penalty is taken on keeps a graph back to its pixels.
            real = real_B3SS.detach().float().requires_grad_(preset.r1 > 0)
            fake = fake_B3SS.detach().float().requires_grad_(preset.r2 > 0)
            real_B, fake_B = (self._odds(image, voice_BE.float(), batch) for image in (real, fake))
            if preset.relativistic:
                loss = nnf.softplus(fake_B - real_B).mean()
            else:
                loss = nnf.softplus(-real_B).mean() + nnf.softplus(fake_B).mean()
            for weight, image, odds_B in ((preset.r1, real, real_B), (preset.r2, fake, fake_B)):
                if weight:
                    # The sum over the batch: each image has its own odds, so that the gradient of the sum is every
                    # image's own slope. create_graph, as the penalty is differentiated again; no compiler takes that,
                    # see `twice_differentiated`.
                    (slope,) = torch.autograd.grad(odds_B.sum(), image, create_graph=True)
                    loss = loss + weight / 2 * slope.square().sum(dim=(1, 2, 3)).mean()
            update(self.optimisers["discriminator"], loss)
        right = torch.cat([real_B > fake_B]) if preset.relativistic else torch.cat([real_B > 0, fake_B < 0])
        return {"discriminator": loss.detach(), "discriminator_accuracy": right.float().mean()}

    def _odds(self, image_B3SS: Tensor, voice_BE: Tensor, batch: Batch) -> Tensor:
        """What the discriminator says of images with these voices, real and generated augmented alike."""
        if self.preset.diffaugment:
            image_B3SS = augmented(image_B3SS, batch["augment"])
        odds_B: Tensor = self.critic.discriminator(image_B3SS, voice_BE if self.preset.projection else None)
        return odds_B

    @torch.no_grad()
    def samples(self, stage: str, count: int) -> tuple[Tensor, Tensor]:
        """Real portraits and faces generated from the same people's speech, for the first `count` people."""
        store, people = self.store, self.store.first_people(count)
        self.faces.eval()
        groups = store.utterance_groups
        orders = [groups.first[person] + np.arange(groups.count[person]) for person in people]
        mel_BKFT, mask_BK = store.windows(orders, self.speech_frames[1], window=self.window, hop=self.hop)
        voice_BKE = self.faces.embed(mel_BKFT.flatten(0, 1)).view(*mask_BK.shape, -1)
        return store.images(store.face_groups.first[people]), self.faces.decode(self.faces.fuse(voice_BKE, mask_BK))


def needs(preset: Preset, embedder: str) -> tuple[Need, ...]:
    """The identity space itself, where it is a published embedder's."""
    space = Need(part="identity space to align voices with", weights=embedder, essential=True)
    return (space,) if embedder in PUBLISHED else ()


ALIGN_SYSTEM = SystemSpec(
    name="align",
    about="our own: voices are aligned with the identity space of a face embedder, whose points are faces",
    make_preset=make_preset,
    train=Align,
    voice_to_face=AlignedFace,
    critic=AlignedCritic,
    needs=needs,
    meets_faces=True,
)
