"""The training loop: what one step does, and the state that a run continues from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gpen_core import GpenConfig, complete_file

from .dataset import random_views
from .discriminator import PatchDiscriminator, augment
from .losses import energy_loss, feature_weights, fidelity_loss
from .network import restore

_MUON_RMS = 0.2
"""Of an update of Muon at a learning rate of 1, as it is set up here."""

Damage = Callable[[Tensor, int], Tensor]
"""Faces (N, 3, S, S) in [0, 1] and a seed -> the same, damaged."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a run of training computes."""

    pictures: int
    """Faces seen in all, each time in another view with other damage."""
    batch: int = 4
    kernel_rate: float = 0.01
    """How far a step moves the 3x3 kernels, rms; their own is 1 at the start."""
    learning_rate: float = 2e-3
    """Of all other weights."""
    cooldown: float = 0.2
    """Share of the run, at its end, over which the learning rates fall to zero."""
    detail_from: float = 0.6
    """Share of the run after which fine detail counts."""
    energy: float = 4.0
    """Weight of its strength."""
    texture: float = 0.1
    """Gradient of the discriminator at the output, relative to that of the other losses."""
    critic_rate: float = 2e-3
    """Learning rate of the discriminator."""
    average_over: int = 4000
    """Half-life, in pictures, of the average of the weights that is the result."""
    seed: int = 0


class Trainer:
    """Weights in training, their average, the discriminator and the optimisers."""

    def __init__(
        self,
        weights: dict[str, Tensor],
        config: GpenConfig,
        recipe: Recipe,
        faces: Tensor,
        damage: Damage,
    ) -> None:
        """Begin a run.

        Args:
            weights: A published state dict, float32. Not modified.
            config: Its configuration.
            recipe: What to do.
            faces: Of ``load_faces``, on the device to train on.
            damage: What the network learns to undo.
        """
        self.config, self.recipe, self.damage, self.faces = config, recipe, damage, faces
        self.device = faces.device
        self.average = {name: w.to(self.device).clone() for name, w in weights.items()}
        self.trained = {
            name: _as_trained(w).clone().requires_grad_()
            for name, w in self.average.items()
            if not name.endswith(".kernel")
        }
        torch.manual_seed(recipe.seed)
        self.discriminator = PatchDiscriminator().to(self.device)
        kernels = [name for name, w in weights.items() if _is_kernel(w)]
        others = [w for name, w in self.trained.items() if name not in kernels]
        # On kernels Muon learns what takes Adam many times as many steps: 0.26 dB after 800 faces,
        # where Adam reached 0.03.
        self.kernel_optimizer = torch.optim.Muon(
            [self.trained[name] for name in kernels],
            momentum=0.9,
            weight_decay=0.0,
            adjust_lr_fn="match_rms_adamw",
        )
        self.optimizer = torch.optim.Adam(others, betas=(0.9, 0.99), fused=True)
        self.critic_optimizer = torch.optim.Adam(
            self.discriminator.parameters(), betas=(0.5, 0.99), fused=True
        )
        self._optimizers = (self.kernel_optimizer, self.optimizer, self.critic_optimizer)
        self.pixel_weights = feature_weights(config.size, self.device)
        self.done = 0
        """Pictures seen so far."""
        self.seconds = 0.0
        """CPU seconds that took; kept by the caller."""

    @property
    def has_detail(self) -> bool:
        """Fine detail counts by now."""
        return self.done >= self.recipe.detail_from * self.recipe.pictures

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights in training, by their published names and shapes, for one step."""
        return {
            name: self.trained[name].view(w.shape) if name in self.trained else w
            for name, w in self.average.items()
        }

    @property
    def pace(self) -> float:
        """Factor on the learning rates: 1, then falling to zero."""
        left = 1 - self.done / self.recipe.pictures
        return min(1.0, max(left, 0.0) / self.recipe.cooldown)

    def step(self) -> dict[str, float]:
        """Train on one batch.

        The draws of a step follow from the seed and its number, so that a run that was interrupted
        goes on as if it had not been.

        Returns:
            The losses by name.
        """
        recipe = self.recipe
        seed = recipe.seed * 1_000_003 + self.done
        generator = torch.Generator().manual_seed(seed)
        index = torch.randint(len(self.faces), (recipe.batch,), generator=generator)
        truth = random_views(self.faces[index.to(self.device)], self.config.size, generator)
        damaged = self.damage(truth, seed)
        truth = truth * 2 - 1
        with self._half_precision():
            restored = restore(self.weights, self.config, damaged * 2 - 1)
        fidelity = fidelity_loss(restored, truth, self.pixel_weights)
        losses, loss = {"fidelity": float(fidelity.detach())}, fidelity
        if self.has_detail and recipe.energy > 0:
            energy = energy_loss(restored, truth)
            losses["energy"] = float(energy.detach())
            loss = loss + recipe.energy * energy
        if self.has_detail and recipe.texture > 0:
            losses |= self._texture_step(loss, restored, truth, generator)
        else:
            loss.backward()
        self._update()
        self.done += recipe.batch
        return losses

    def _texture_step(
        self, loss: Tensor, restored: Tensor, truth: Tensor, generator: torch.Generator
    ) -> dict[str, float]:
        self.discriminator.requires_grad_(False)
        with self._half_precision():
            score = self.discriminator(augment(restored, generator)).float()
        texture = -score.mean()
        # Both gradients at the output, so that their balance does not depend on either's scale.
        (towards_truth,) = torch.autograd.grad(loss, restored, retain_graph=True)
        (towards_photos,) = torch.autograd.grad(texture, restored, retain_graph=True)
        balance = towards_truth.norm() / towards_photos.norm().clamp_min(1e-12)
        restored.backward(towards_truth + self.recipe.texture * balance * towards_photos)

        self.discriminator.requires_grad_(True)
        with self._half_precision():
            real = self.discriminator(augment(truth, generator)).float()
            made = self.discriminator(augment(restored.detach(), generator)).float()
        critic = F.relu(1 - real).mean() + F.relu(1 + made).mean()
        critic.backward()
        _step(self.critic_optimizer, self.pace * self.recipe.critic_rate)
        return {"texture": float(texture.detach()), "critic": float(critic.detach())}

    @torch.no_grad()
    def _update(self) -> None:
        _step(self.kernel_optimizer, self.pace * self.recipe.kernel_rate / _MUON_RMS)
        _step(self.optimizer, self.pace * self.recipe.learning_rate)
        # At the start the average follows quickly, or it would long remember where it began.
        share = 0.5 ** (self.recipe.batch / min(self.recipe.average_over, 1 + self.done / 4))
        for name, weight in self.trained.items():
            self.average[name].lerp_(weight.view_as(self.average[name]), 1 - share)

    def _half_precision(self) -> torch.autocast:
        """bfloat16 where the device computes in it; elsewhere it would be slower than float32."""
        if self.device.type == "cuda":
            has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            has_bfloat16 = torch.cpu._is_avx512_bf16_supported()
        return torch.autocast(self.device.type, torch.bfloat16, enabled=has_bfloat16)

    def save(self, path: Path) -> None:
        """Write the whole state; the file appears once it is complete."""
        state: dict[str, Any] = {
            "recipe": dataclasses.asdict(self.recipe),
            "config": self.config.to_dict(),
            "done": self.done,
            "seconds": self.seconds,
            "trained": {name: w.detach() for name, w in self.trained.items()},
            "average": self.average,
            "discriminator": self.discriminator.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
        }
        with complete_file(path) as partial:
            torch.save(state, partial)

    @torch.no_grad()
    def resume(self, path: Path) -> None:
        """Go on from a state that ``save`` wrote for the same network."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["config"] != self.config.to_dict():
            raise ValueError(f"that of {state['config']}")
        for tensors, saved in ((self.trained, "trained"), (self.average, "average")):
            for name, tensor in tensors.items():
                tensor.copy_(state[saved][name])
        self.discriminator.load_state_dict(state["discriminator"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.done, self.seconds = state["done"], state["seconds"]


def _is_kernel(weight: Tensor) -> bool:
    return weight.ndim >= 4 and weight.shape[-1] == 3


def _as_trained(weight: Tensor) -> Tensor:
    """Kernels as matrices, a row for each output, which is what Muon takes; others as they are."""
    if not _is_kernel(weight):
        return weight
    return weight.reshape(-1, weight.shape[-3] * 9)


def _step(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
