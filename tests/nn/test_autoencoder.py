import numpy as np
import pytest
import torch

from kgrec.nn.autoencoder import DenoisingAutoEncoder


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def encoder(noise=0.0, sizes=(5, 4, 2)):
    made = DenoisingAutoEncoder(sizes, noise, torch.Generator().manual_seed(0))
    made.reseed(0)
    return made


def test_layers_mirror_and_code_is_in_the_middle():
    """Against the equations written out."""
    made, x = encoder(), np.random.default_rng(0).random((3, 5))
    assert [tuple(weight.shape) for weight in made.weights] == [(5, 4), (4, 2), (2, 4), (4, 5)]
    with torch.no_grad():
        for bias in made.biases:
            bias.uniform_(-1, 1, generator=torch.Generator().manual_seed(1))
    layers, h = [], x
    for weight, bias in zip(made.weights, made.biases, strict=True):
        h = 1 / (1 + np.exp(-(h @ weight.detach().numpy() + bias.detach().numpy())))
        layers.append(h)
    code, error = made(torch.from_numpy(x))
    np.testing.assert_allclose(code.detach().numpy(), layers[1], atol=1e-12)
    assert float(error.detach()) == pytest.approx(((layers[-1] - x) ** 2).sum() / 3, abs=1e-12)


def test_noise_masks_the_input_in_training_alone_and_the_clean_input_is_reconstructed():
    made, x = encoder(noise=0.5), torch.rand(200, 5, generator=torch.Generator().manual_seed(2))
    seen = []
    made.noise.register_forward_hook(lambda module, given, mask: seen.append(mask > 0))
    code, error = made(x)
    share = float(seen[0].double().mean())
    assert 0.45 < share < 0.55
    clean = encoder()
    masked, _ = clean(x * seen[0])
    torch.testing.assert_close(code, masked)
    h = masked
    for weight, bias in zip(list(clean.weights)[2:], list(clean.biases)[2:], strict=True):
        h = torch.sigmoid(h @ weight + bias)
    assert float(error.detach()) == pytest.approx(
        float((h - x).square().sum(1).mean().detach()), abs=1e-12
    )
    torch.testing.assert_close(made.eval()(x)[0], clean(x)[0])


def test_learns_two_prototypes_through_a_code_of_one():
    made = encoder(noise=0.2, sizes=(6, 4, 1))
    kinds = torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])
    optimizer = torch.optim.Adam(made.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        _, error = made(kinds.repeat(8, 1))
        error.backward()
        optimizer.step()
    code, error = made.eval()(kinds)
    assert float(error.detach()) < 0.1
    assert abs(float((code[0] - code[1]).detach())) > 0.5
