"""The quick training of the filters is the authors' training."""

import numpy as np
import pytest
import torch

from respike.data import mnist
from respike.sources.kulkarni_forward import filters as kulkarni_filters


@pytest.fixture(scope="module")
def data(small_mnist_folder):
    return mnist.load(small_mnist_folder)


class Plain(torch.nn.Module):
    """The authors' network."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 12, 3)
        self.fc = torch.nn.Linear(8112, 10)

    def forward(self, x):
        return self.fc(self.conv(x.view(-1, 1, 28, 28)).flatten(1))


def plain(seed):
    torch.manual_seed(seed)
    return Plain()


def test_output_and_gradients_are_those_of_the_plain_network():
    net, theirs = kulkarni_filters.LinearNet(12, 1), plain(1)
    x, labels = torch.rand(5, 784), torch.arange(5)
    out = theirs(x)
    assert net.log_odds(x.numpy()) == pytest.approx(out.detach().numpy(), abs=1e-5)
    torch.nn.functional.cross_entropy(out, labels).backward()
    ours = net.gradients(x.numpy(), labels.numpy())
    for a, b in zip(ours, theirs.parameters(), strict=True):
        assert a.ravel() == pytest.approx(b.grad.numpy().ravel(), abs=1e-6)
        assert np.abs(a).max() > 1e-4


def test_training_is_that_of_the_plain_network(data):
    found = kulkarni_filters.train(data, 12, 80, epochs=3, seed=4)
    net = plain(4)
    assert found.start == pytest.approx(net.conv.weight.detach().numpy()[:, 0])
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.5)
    x = torch.from_numpy(data.train_images).float() / 255
    rng = np.random.default_rng(4)
    for _ in range(3):
        order = torch.from_numpy(rng.permutation(80))  # one batch: 80 < 128
        labels = torch.from_numpy(data.train_labels)[order]
        loss = torch.nn.functional.cross_entropy(net(x[order]), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert found.trained == pytest.approx(net.conv.weight.detach().numpy()[:, 0], abs=1e-5)
    assert np.abs(found.trained - found.start).max() > 1e-4
    test = torch.from_numpy(data.test_images).float() / 255
    right = (net(test).argmax(dim=1).numpy() == data.test_labels).mean()
    assert found.test_accuracy == pytest.approx(right)
    assert 0 <= found.test_accuracy_start <= 1


def test_a_seed_decides_everything(data):
    a, b, c = (kulkarni_filters.train(data, 12, 80, 1, seed).trained for seed in (0, 0, 1))
    assert (a == b).all() and (a != c).all()
