"""The cache of graphs, with stand-ins for the graphs: which are kept, when, and for how long."""

import threading

import pytest
import torch

from gpen_core.network import cuda_graphs
from gpen_core.network.cuda_graphs import GraphCache, GraphCaptureError


class FakeGraph:
    """Remembers that it was captured, run and closed."""

    def __init__(self, forward, crops, pool):
        self.shape, self.n_faces, self.pool = crops.shape, len(crops), pool
        self.n_runs, self.is_closed = 0, False
        GRAPHS.append(self)

    def __call__(self, crops):
        assert crops.shape == self.shape
        assert not self.is_closed
        self.n_runs += 1
        return crops + 1

    def close(self):
        self.is_closed = True


GRAPHS: list[FakeGraph] = []


@pytest.fixture(autouse=True)
def _no_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", object)
    GRAPHS.clear()


@pytest.fixture
def weights():
    return [torch.zeros(3), torch.zeros(2)]


def crops_of(n, size=8):
    return torch.zeros(n, 3, size, size)


def eager(crops):
    return crops + 1


def test_run_captures_a_shape_when_it_comes_again(weights):
    cache = GraphCache(capture=FakeGraph)
    for _ in range(4):
        assert torch.equal(cache.run(eager, crops_of(1), weights), crops_of(1) + 1)
    assert [graph.n_runs for graph in GRAPHS] == [3]  # the first time there was none
    assert len(cache) == 1


def test_run_keeps_a_graph_for_each_shape_in_one_pool(weights):
    cache = GraphCache(capture=FakeGraph)
    for n in (1, 2, 1, 2, 1, 2):
        cache.run(eager, crops_of(n), weights)
    assert [graph.n_faces for graph in GRAPHS] == [1, 2]
    assert GRAPHS[0].pool is GRAPHS[1].pool


def test_run_drops_the_shape_that_was_used_longest_ago(weights):
    cache = GraphCache(capacity=2, capture=FakeGraph)
    for n in (1, 1, 2, 2, 1, 3, 3):
        cache.run(eager, crops_of(n), weights)
    assert [graph.is_closed for graph in GRAPHS] == [False, True, False]
    assert len(cache) == 2


def test_run_drops_graphs_of_weights_that_have_moved(weights):
    cache = GraphCache(capture=FakeGraph)
    for _ in range(2):
        cache.run(eager, crops_of(1), weights)
    weights[1] = weights[1].clone()
    cache.run(eager, crops_of(1), weights)
    assert GRAPHS[0].is_closed
    assert len(cache) == 0


def test_release_closes_all_graphs_once(weights):
    cache = GraphCache(capture=FakeGraph)
    for n in (1, 1, 2, 2):
        cache.run(eager, crops_of(n), weights)
    assert cache.release()
    assert all(graph.is_closed for graph in GRAPHS)
    assert not cache.release()


def test_run_does_not_capture_what_keeps_the_device_busy_anyway(weights, monkeypatch):
    monkeypatch.setattr(cuda_graphs, "MAX_PIXELS", 2 * 8 * 8)
    cache = GraphCache(capture=FakeGraph)
    for _ in range(3):
        cache.run(eager, crops_of(3), weights)
        cache.run(eager, crops_of(2), weights)
    assert [graph.n_faces for graph in GRAPHS] == [2]


def test_run_forgets_a_shape_whose_capture_failed(weights):
    def fail(forward, crops, pool):
        raise GraphCaptureError("no")

    cache = GraphCache(capture=fail)
    cache.run(eager, crops_of(1), weights)
    with pytest.raises(GraphCaptureError):
        cache.run(eager, crops_of(1), weights)
    assert len(cache) == 0
    assert torch.equal(cache.run(eager, crops_of(1), weights), crops_of(1) + 1)


def test_run_in_two_threads_does_not_share_the_buffers(weights):
    inside, leave = threading.Event(), threading.Event()

    class SlowGraph(FakeGraph):
        def __call__(self, crops):
            inside.set()
            assert leave.wait(10)
            return super().__call__(crops)

    cache = GraphCache(capture=SlowGraph)
    cache.run(eager, crops_of(1), weights)
    thread = threading.Thread(target=cache.run, args=(eager, crops_of(1), weights))
    thread.start()
    assert inside.wait(10)
    assert torch.equal(cache.run(eager, crops_of(1), weights), crops_of(1) + 1)  # past the graph
    leave.set()
    thread.join()
    assert [graph.n_runs for graph in GRAPHS] == [1]
