"""The quick training of the filters is the authors' training."""

import numpy as np
import pytest
import torch

from respike import kulkarni_filters
from respike.data import mnist


@pytest.fixture(scope="module")
def data(small_mnist_folder):
    return mnist.load(small_mnist_folder)


def test_the_product_of_filters_and_weights_is_the_network():
    torch.manual_seed(1)
    net = kulkarni_filters.LinearNet(12)
    x = torch.rand(5, 784)
    assert torch.allclose(net(x), net.plain(x), atol=1e-5)
    gradients = []
    for forward in (net, net.plain):
        net.zero_grad()
        torch.nn.functional.cross_entropy(forward(x), torch.arange(5)).backward()
        gradients.append([p.grad.clone() for p in net.parameters()])
    for a, b in zip(*gradients, strict=True):
        assert torch.allclose(a, b, atol=1e-6) and a.abs().max() > 1e-4


def test_training_is_that_of_the_plain_network(data):
    found = kulkarni_filters.train(data, 12, 80, epochs=3, seed=4)
    torch.manual_seed(4)
    net = kulkarni_filters.LinearNet(12)
    assert found.start == pytest.approx(net.conv.weight.detach().numpy()[:, 0])
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.5)
    x = torch.from_numpy(data.train_images).float() / 255
    rng = np.random.default_rng(4)
    for _ in range(3):
        order = torch.from_numpy(rng.permutation(80))  # one batch: 80 < 128
        labels = torch.from_numpy(data.train_labels)[order]
        loss = torch.nn.functional.cross_entropy(net.plain(x[order]), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert found.trained == pytest.approx(net.conv.weight.detach().numpy()[:, 0], abs=1e-5)
    assert np.abs(found.trained - found.start).max() > 1e-4
    assert 0 <= found.test_accuracy_start <= 1 and found.test_accuracy > 0.05


def test_a_seed_decides_everything(data):
    a, b, c = (kulkarni_filters.train(data, 12, 80, 1, seed).trained for seed in (0, 0, 1))
    assert (a == b).all() and (a != c).all()
