"""SF2F as the training loop sees it: networks, optimisers and the steps of its two stages (section 4, App. E).

Stage `crops` trains encoder and decoder on crops of 1 to 1.5 s; stage `fuser` freezes both and trains the fuser on
windows over 6 to 25 s. Both discriminators learn in both stages.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from models.data.sampler import IntArray, crop_batch, speech_batch
from models.data.store import Store
from models.embedders import PUBLISHED
from models.embedders.base import Embedder
from models.images import from_range, to_range
from models.pretrained.needs import Need
from models.systems.base import Batch, Critic, Recogniser, System, SystemSpec, VoiceToFace, update
from models.systems.sf2f import losses
from models.systems.sf2f.losses import RealFeatures, sizes
from models.systems.sf2f.networks import EmbeddingFuser, FaceDecoder, Pyramid, VoiceEncoder
from models.systems.sf2f.presets import CROPS, INPUTS, Preset, make_preset
from models.training.presets import frames, window_frames


class SpeechFusion(VoiceToFace):
    """Encoder, fuser and decoder."""

    def __init__(self, preset: Preset, n_mels: int) -> None:
        super().__init__()
        self.image_range = preset.image_range
        self.encoder = VoiceEncoder(preset.encoder(n_mels))
        self.decoder = FaceDecoder(preset.decoder())
        self.fuser = EmbeddingFuser(preset.encoder_channels[-1], preset.flavour)

    def embed(self, mel_BFT: Tensor) -> Tensor:
        embedding_BD: Tensor = self.encoder(mel_BFT)
        return embedding_BD

    def decode(self, embedding_BD: Tensor) -> Tensor:
        return from_range(self.decoder(embedding_BD), self.image_range)

    def fuse(self, embedding_BKD: Tensor, mask_BK: Tensor) -> Tensor:
        fused_BD: Tensor = self.fuser(embedding_BKD, mask_BK)
        return fused_BD


class RealOrGenerated(Critic):
    """D_real on every size; the mean over sizes and patches of its log odds."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.preset = preset
        self.d_real = Pyramid(preset.d_real())

    def forward(self, image_B3SS: Tensor) -> Tensor:
        images = sizes(to_range(image_B3SS, self.preset.image_range), self.preset.outputs)
        odds = [logits[:, losses.REAL] - logits[:, losses.FAKE] for logits in self.d_real(images)]
        return torch.stack([each.flatten(1).mean(dim=1) if each.dim() > 1 else each for each in odds]).mean(dim=0)


class WhoItIs(Recogniser):
    """D_id on every size, without what the code's says of real and generated; the mean over sizes of its logits."""

    def __init__(self, preset: Preset, people: int) -> None:
        super().__init__()
        self.preset, self.people = preset, people
        self.d_id = Pyramid(preset.d_id(people))

    def forward(self, image_B3SS: Tensor) -> Tensor:
        images = sizes(to_range(image_B3SS, self.preset.image_range), self.preset.outputs)
        return torch.stack([logits_BN[:, : self.people] for logits_BN in self.d_id(images)]).mean(dim=0)


class Sf2f(System):
    """One SF2F training. `hop_s` is the front end's hop, from which lengths in frames follow."""

    fixed_shapes = frozenset({CROPS})
    embedder: Embedder
    faces: SpeechFusion

    def __init__(self, preset: Preset, store: Store, embedder: Embedder, *, hop_s: float, seed: int) -> None:
        self.preset = preset
        self.store = store
        self.embedder = embedder
        self.real_features: RealFeatures | None = None
        self.seed = seed
        self.crop_frames = frames(preset.crop_s, hop_s)
        self.speech_frames = frames(preset.speech_s, hop_s)
        self.window, self.hop = window_frames(preset.window_s, preset.window_overlap, hop_s)
        # Weights follow from the seed alone, whatever was drawn before; `faces` first, so that its start does not
        # depend on how many people D_id has to tell apart.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.faces = SpeechFusion(preset, store.n_mels)
            self.encoder, self.decoder, self.fuser = self.faces.encoder, self.faces.decoder, self.faces.fuser
            self.d_real = Pyramid(preset.d_real())
            self.d_id = Pyramid(preset.d_id(len(store.people)))
        for network in self.networks().values():
            network.to(store.device)
        self.optimisers = {
            "generator": self._adam(preset.learning_rate, self.encoder, self.decoder),
            "fuser": self._adam(preset.fuser_learning_rate, self.fuser),
            "discriminators": self._adam(preset.learning_rate, self.d_real, self.d_id),
        }

    def networks(self) -> dict[str, nn.Module]:
        """The five networks by name."""
        names = ("encoder", "decoder", "fuser", "d_real", "d_id")
        return {name: getattr(self, name) for name in names}

    def _adam(self, learning_rate: float, *networks: nn.Module) -> torch.optim.Adam:
        parameters = [parameter for network in networks for parameter in network.parameters()]
        return torch.optim.Adam(parameters, lr=learning_rate, betas=(self.preset.beta_1, self.preset.beta_2))

    def batch(self, stage: str, step: int) -> Batch:
        """Crops, or windows over long stretches with their mask, and a portrait of each speaker."""
        return self._crops(step) if stage == CROPS else self._windows(step)

    def compute(self, stage: str, batch: Batch) -> dict[str, Tensor]:
        """A step of the discriminators, then one of encoder and decoder, or of the fuser."""
        for name, network in self.networks().items():
            # The decoder of stage 2 has only ever to be what stage 1 left: its BatchNorm takes running statistics, as
            # it will when somebody asks it for one face. Discriminators go on learning, else the fuser finds their
            # blind spots.
            network.train(stage == CROPS or name not in ("encoder", "decoder"))
        embedding_BD = self.encoder(batch["mel"]) if stage == CROPS else self._fused(batch)
        fake = self.decoder.images(embedding_BD)
        real = sizes(to_range(batch["image"], self.preset.image_range), self.preset.outputs)
        # Both sides use one forward of the generator: the discriminators see it cut off, then learn, then judge the
        # very same faces. Which of the two moves first is not said in the paper; Algorithm 1 of voice2face has this
        # order.
        judged = self._train_discriminators([image.detach() for image in fake], real, batch["person"])
        optimiser = self.optimisers["generator" if stage == CROPS else "fuser"]
        return judged | self._train_generator(optimiser, fake, real, batch)

    def _crops(self, step: int) -> Batch:
        store = self.store
        batch = crop_batch(
            store.face_groups,
            store.utterance_groups,
            store.frames,
            batch_size=self.preset.batch_size,
            crop_frames=self.crop_frames,
            seed=self.seed,
            step=step,
            share=store.share,
        )
        wrap = self.preset.short_clips == "wrap"
        mel_BFT = store.crops(batch.utterances, batch.starts, batch.length, wrap=wrap)
        return Batch(tensors={"mel": mel_BFT} | self._portraits(batch.people, batch.faces))

    def _windows(self, step: int) -> Batch:
        store = self.store
        batch = speech_batch(
            store.face_groups,
            store.utterance_groups,
            batch_size=self.preset.batch_size,
            speech_frames=self.speech_frames,
            seed=self.seed,
            step=step,
            share=store.share,
        )
        # How many windows there are follows from the longest stretch drawn: this stage has no fixed shape to record.
        mel_BKFT, mask_BK = store.windows(batch.utterances, batch.length, window=self.window, hop=self.hop)
        if self.preset.fuser_windows:
            mel_BKFT, mask_BK = mel_BKFT[:, : self.preset.fuser_windows], mask_BK[:, : self.preset.fuser_windows]
        return Batch(tensors={"mel": mel_BKFT, "mask": mask_BK} | self._portraits(batch.people, batch.faces))

    def _portraits(self, people: IntArray, faces: IntArray) -> dict[str, Tensor]:
        store = self.store
        return {"image": store.images(faces), "person": store.put(people), "face": store.put(faces)}

    def _fused(self, batch: Batch) -> Tensor:
        mel_BKFT, mask_BK = batch["mel"], batch["mask"]
        with torch.no_grad():
            embedding_BKD = self.encoder(mel_BKFT.flatten(0, 1)).unflatten(0, mask_BK.shape)
        fused_BD: Tensor = self.fuser(embedding_BKD, mask_BK)
        return fused_BD

    def _train_discriminators(self, fake: list[Tensor], real: list[Tensor], person_B: Tensor) -> dict[str, Tensor]:
        self.d_real.requires_grad_(True)
        self.d_id.requires_grad_(True)
        logits_real, logits_fake = self.d_real(real), self.d_real(fake)
        loss_real = losses.discriminator_real(logits_real, logits_fake)
        # L_id is on real images only: of generated ones nobody knows whom they show, and D_id would learn the
        # generator's mistakes as those people.
        people, judged_real = self._people_and_judge(self.d_id(real))
        loss_id = losses.identity(people, person_B)
        loss = loss_real + loss_id
        if judged_real:
            loss = loss + losses.discriminator_real(judged_real, self._people_and_judge(self.d_id(fake))[1])
        update(self.optimisers["discriminators"], loss)
        # The generator's step goes through both; without this its backward would fill their gradients for nothing.
        self.d_real.requires_grad_(False)
        self.d_id.requires_grad_(False)
        right = [(logits.argmax(1) == losses.REAL).float().mean() for logits in logits_real]
        right += [(logits.argmax(1) == losses.FAKE).float().mean() for logits in logits_fake]
        return {
            "discriminator": loss_real.detach(),
            "discriminator_accuracy": torch.stack(right).mean(),
            "discriminator_identity": loss_id.detach(),
        }

    def _people_and_judge(self, logits: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Logits of people, and those of a D_id that also says real or generated (the code's)."""
        if self.preset.flavour == "paper":
            return logits, []
        return [each[:, :-2] for each in logits], [each[:, -2:] for each in logits]

    def _train_generator(
        self, optimiser: torch.optim.Optimizer, fake: list[Tensor], real: list[Tensor], batch: Batch
    ) -> dict[str, Tensor]:
        preset, person_B = self.preset, batch["person"]
        terms = {"l1": (preset.weight_l1, losses.reconstruction(fake, real))}
        if preset.weight_adversarial:
            terms["adversarial"] = (preset.weight_adversarial, losses.adversarial(self.d_real(fake)))
        if preset.weight_identity:
            people, judged = self._people_and_judge(self.d_id(fake))
            terms["identity"] = (preset.weight_identity, losses.identity(people, person_B))
            if judged and preset.weight_adversarial:
                # Beside D_real, at the same weight: the code's D_id is a second judge of real and generated.
                weight, adversarial = terms["adversarial"]
                terms["adversarial"] = (weight, adversarial + losses.adversarial(judged))
        if preset.weight_perceptual:
            terms["perceptual"] = (preset.weight_perceptual, self._perceptual(fake, real, batch["face"]))
        loss = torch.stack([weight * term for weight, term in terms.values()]).sum()
        update(optimiser, loss)
        return {"loss": loss.detach()} | {name: term.detach() for name, (_, term) in terms.items()}

    def _perceptual(self, fake: list[Tensor], real: list[Tensor], face_B: Tensor) -> Tensor:
        preset, kept, terms = self.preset, len(self.preset.perceptual_weights), []
        count = self._perceptual_images(len(face_B))
        for size, (fake_B3SS, real_B3SS) in enumerate(zip(fake, real, strict=True)):
            if self.real_features is None:
                with torch.no_grad():
                    wanted = self.embedder.features(from_range(real_B3SS[:count], preset.image_range))[-kept:]
            else:
                wanted = self.real_features.of(size, face_B[:count])
            # Not under no_grad, though the embedder is frozen: what is wanted is the gradient to the image.
            got = self.embedder.features(from_range(fake_B3SS[:count], preset.image_range))[-kept:]
            terms.append(losses.perceptual(got, wanted, preset.perceptual_weights))
        return torch.stack(terms).sum()

    def further_calls(self) -> list[tuple[nn.Module, str]]:
        """See `System.further_calls`; the decoder makes all sizes at once."""
        return [*super().further_calls(), (self.decoder, "images")]

    def _perceptual_images(self, part: int) -> int:
        """How many of this process's `part` of a batch go through the embedder."""
        ranks = self.store.share.ranks
        return min(part, -(-self.preset.perceptual_images // ranks)) or part

    def cache_features(self, dtype: torch.dtype, room: int) -> None:
        """See `System.cache_features`; what the perceptual loss compares with, which augmentation never changes."""
        preset = self.preset
        seen = (preset.steps + preset.fuser_steps) * self._perceptual_images(preset.batch_size)
        if preset.weight_perceptual and seen > len(self.store.faces):
            self.real_features = RealFeatures.of_store(
                self.store, self.embedder, preset.outputs, len(preset.perceptual_weights), dtype=dtype, room=room
            )

    @torch.no_grad()
    def samples(self, stage: str, count: int) -> tuple[Tensor, Tensor]:
        """Real portraits and faces generated from the same people's speech, for the first `count` people."""
        store, people = self.store, self.store.first_people(count)
        for name in ("encoder", "decoder", "fuser"):
            self.networks()[name].eval()
        orders = [store.utterance_groups.first[p] + np.arange(store.utterance_groups.count[p]) for p in people]
        length = self.window if stage == CROPS else self.speech_frames[1]
        mel_BKFT, mask_BK = store.windows(orders, length, window=self.window, hop=self.hop)
        embedding_BKD = self.encoder(mel_BKFT.flatten(0, 1)).unflatten(0, mask_BK.shape)
        fused_BD = embedding_BKD[:, 0] if stage == CROPS else self.fuser(embedding_BKD, mask_BK)
        return store.images(store.face_groups.first[people]), self.faces.decode(fused_BD)


def needs(preset: Preset, embedder: str) -> tuple[Need, ...]:
    """The perceptual loss, where it counts and the embedder is a published one."""
    if not preset.weight_perceptual or embedder not in PUBLISHED:
        return ()
    return (Need(part="the perceptual loss", weights=embedder, off={"weight_perceptual": 0.0}),)


SF2F = SystemSpec(
    name="sf2f",
    about="SF2F: crops are encoded, a fuser joins them; two discriminators and a perceptual loss",
    make_preset=make_preset,
    train=Sf2f,
    voice_to_face=SpeechFusion,
    critic=RealOrGenerated,
    recogniser=WhoItIs,
    needs=needs,
    inputs=INPUTS,
)
