"""SF2F as the training loop sees it: networks, optimisers and the steps of its two stages (section 4, App. E).

Stage `crops` trains encoder and decoder on crops of 1 to 1.5 s; stage `fuser` freezes both and trains the fuser on
windows over 6 to 25 s. Both discriminators learn in both stages. A step reads nothing back from the device.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.embedders.base import Embedder
from models.presets import frames, window_frames
from models.sampler import crop_batch, speech_batch
from models.sf2f import losses
from models.sf2f.networks import Discriminator, EmbeddingFuser, FaceDecoder, VoiceEncoder
from models.sf2f.presets import CROPS, Preset, make_preset
from models.store import Store
from models.system import System, SystemSpec, VoiceToFace, update


class SpeechFusion(VoiceToFace):
    """Encoder, fuser and decoder."""

    def __init__(self, preset: Preset, n_mels: int) -> None:
        super().__init__()
        self.encoder = VoiceEncoder(preset.encoder(n_mels))
        self.decoder = FaceDecoder(preset.decoder())
        self.fuser = EmbeddingFuser(preset.encoder_channels[-1])

    def embed(self, mel_BFT: Tensor) -> Tensor:
        embedding_BD: Tensor = self.encoder(mel_BFT)
        return embedding_BD

    def decode(self, embedding_BD: Tensor) -> Tensor:
        image_B3SS: Tensor = self.decoder(embedding_BD)
        return image_B3SS

    def fuse(self, embedding_BKD: Tensor, mask_BK: Tensor) -> Tensor:
        fused_BD: Tensor = self.fuser(embedding_BKD, mask_BK)
        return fused_BD


class Sf2f(System):
    """One SF2F training. `hop_s` is the front end's hop, from which lengths in frames follow."""

    def __init__(self, preset: Preset, store: Store, embedder: Embedder, *, hop_s: float, seed: int) -> None:
        self.preset = preset
        self.store = store
        self.embedder = embedder
        self.seed = seed
        self.crop_frames = frames(preset.crop_s, hop_s)
        self.speech_frames = frames(preset.speech_s, hop_s)
        self.window, self.hop = window_frames(preset.window_s, preset.window_overlap, hop_s)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            faces = SpeechFusion(preset, store.n_mels)
            self.encoder, self.decoder, self.fuser = faces.encoder, faces.decoder, faces.fuser
            self.d_real = Discriminator(preset.discriminator(2))
            self.d_id = Discriminator(preset.discriminator(len(store.people)))
        for network in self.networks().values():
            network.to(store.device)
        self.optimisers = {
            "generator": self._adam(self.encoder, self.decoder),
            "fuser": self._adam(self.fuser),
            "discriminators": self._adam(self.d_real, self.d_id),
        }

    def networks(self) -> dict[str, nn.Module]:
        """The five networks by name."""
        names = ("encoder", "decoder", "fuser", "d_real", "d_id")
        return {name: getattr(self, name) for name in names}

    def _adam(self, *networks: nn.Module) -> torch.optim.Adam:
        parameters = [parameter for network in networks for parameter in network.parameters()]
        betas = (self.preset.beta_1, self.preset.beta_2)
        return torch.optim.Adam(parameters, lr=self.preset.learning_rate, betas=betas)

    def step(self, stage: str, step: int) -> dict[str, Tensor]:
        """One step of a stage on the batch that belongs to `step`; losses as scalars on the device."""
        for name, network in self.networks().items():
            network.train(stage == CROPS or name not in ("encoder", "decoder"))
        fake_B3SS, real_B3SS, person_B = self._crops(step) if stage == CROPS else self._windows(step)
        judged = self._train_discriminators(fake_B3SS.detach(), real_B3SS, person_B)
        optimiser = self.optimisers["generator" if stage == CROPS else "fuser"]
        return judged | self._train_generator(optimiser, fake_B3SS, real_B3SS, person_B)

    def _crops(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        store = self.store
        batch = crop_batch(
            store.face_groups,
            store.utterance_groups,
            store.frames,
            batch_size=self.preset.batch_size,
            crop_frames=self.crop_frames,
            seed=self.seed,
            step=step,
        )
        mel_BFT = store.crops(batch.utterances, batch.starts, batch.length)
        fake_B3SS = self.decoder(self.encoder(mel_BFT))
        return fake_B3SS, store.images(batch.faces), torch.from_numpy(batch.people).to(store.device)

    def _windows(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        store = self.store
        batch = speech_batch(
            store.face_groups,
            store.utterance_groups,
            batch_size=self.preset.batch_size,
            speech_frames=self.speech_frames,
            seed=self.seed,
            step=step,
        )
        mel_BKFT, mask_BK = store.windows(batch.utterances, batch.length, window=self.window, hop=self.hop)
        with torch.no_grad():
            embedding_BKD = self.encoder(mel_BKFT.flatten(0, 1)).unflatten(0, mask_BK.shape)
        fake_B3SS = self.decoder(self.fuser(embedding_BKD, mask_BK))
        return fake_B3SS, store.images(batch.faces), torch.from_numpy(batch.people).to(store.device)

    def _train_discriminators(self, fake_B3SS: Tensor, real_B3SS: Tensor, person_B: Tensor) -> dict[str, Tensor]:
        self.d_real.requires_grad_(True)
        self.d_id.requires_grad_(True)
        logits_real_B2, logits_fake_B2 = self.d_real(real_B3SS), self.d_real(fake_B3SS)
        loss_real = losses.discriminator_real(logits_real_B2, logits_fake_B2)
        loss_id = losses.identity(self.d_id(real_B3SS), person_B)
        update(self.optimisers["discriminators"], loss_real + loss_id)
        self.d_real.requires_grad_(False)
        self.d_id.requires_grad_(False)
        right = torch.cat([logits_real_B2.argmax(1) == losses.REAL, logits_fake_B2.argmax(1) == losses.FAKE])
        return {
            "discriminator": loss_real.detach(),
            "discriminator_accuracy": right.float().mean(),
            "discriminator_identity": loss_id.detach(),
        }

    def _train_generator(
        self, optimiser: torch.optim.Optimizer, fake_B3SS: Tensor, real_B3SS: Tensor, person_B: Tensor
    ) -> dict[str, Tensor]:
        preset = self.preset
        terms = {"l1": (preset.weight_l1, losses.reconstruction(fake_B3SS, real_B3SS))}
        if preset.weight_adversarial:
            terms["adversarial"] = (preset.weight_adversarial, losses.adversarial(self.d_real(fake_B3SS)))
        if preset.weight_identity:
            terms["identity"] = (preset.weight_identity, losses.identity(self.d_id(fake_B3SS), person_B))
        if preset.weight_perceptual:
            terms["perceptual"] = (preset.weight_perceptual, self._perceptual(fake_B3SS, real_B3SS))
        loss = torch.stack([weight * term for weight, term in terms.values()]).sum()
        update(optimiser, loss)
        return {"loss": loss.detach()} | {name: term.detach() for name, (_, term) in terms.items()}

    def _perceptual(self, fake_B3SS: Tensor, real_B3SS: Tensor) -> Tensor:
        count = self.preset.perceptual_images or len(fake_B3SS)
        with torch.no_grad():
            real = self.embedder.features(real_B3SS[:count])
        return losses.perceptual(self.embedder.features(fake_B3SS[:count]), real, self.preset.perceptual_weights)

    @torch.no_grad()
    def samples(self, stage: str, count: int) -> tuple[Tensor, Tensor]:
        """Real portraits and faces generated from the same people's speech, for the first `count` people."""
        store, people = self.store, range(min(count, len(self.store.people)))
        for name in ("encoder", "decoder", "fuser"):
            self.networks()[name].eval()
        orders = [
            store.utterance_groups.first[p] + torch.arange(store.utterance_groups.count[p]).numpy() for p in people
        ]
        length = self.window if stage == CROPS else self.speech_frames[1]
        mel_BKFT, mask_BK = store.windows(orders, length, window=self.window, hop=self.hop)
        embedding_BKD = self.encoder(mel_BKFT.flatten(0, 1)).unflatten(0, mask_BK.shape)
        fused_BD = embedding_BKD[:, 0] if stage == CROPS else self.fuser(embedding_BKD, mask_BK)
        return store.images(store.face_groups.first[list(people)]), self.decoder(fused_BD)


SF2F = SystemSpec(name="sf2f", make_preset=make_preset, train=Sf2f, voice_to_face=SpeechFusion)
