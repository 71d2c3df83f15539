"""The patch discriminator and what it is shown."""

import torch

from training.discriminator import PatchDiscriminator, augment


def test_it_learns_to_tell_noise_from_flat_pictures():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator()
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-2)
    real, made = torch.randn(4, 3, 64, 64), torch.zeros(4, 3, 64, 64)
    for _ in range(20):
        loss = (discriminator(made) - discriminator(real)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    assert discriminator(real).mean() > discriminator(made).mean() + 0.1


def test_augmentation_changes_every_picture_in_its_own_way_and_follows_from_the_draws():
    images = torch.rand(1, 3, 64, 64).expand(3, -1, -1, -1) * 2 - 1

    first = augment(images, torch.Generator().manual_seed(0))
    again = augment(images, torch.Generator().manual_seed(0))

    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[1], first[2])


def test_gradients_pass_through_augmentation():
    images = torch.rand(2, 3, 64, 64, requires_grad=True)

    augment(images, torch.Generator().manual_seed(0)).square().sum().backward()

    assert images.grad.isfinite().all()
    assert images.grad.ne(0).float().mean() > 0.5
