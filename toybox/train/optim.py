"""Two optimizers that step together: Muon for matrices between hidden layers, AdamW for tables and vectors.

Muon needs 1.4 times fewer steps than AdamW here (the ledger in LOG.md). Ranks that share a step deal the matrices out, since
making a matrix orthogonal costs more than a whole step of AdamW.
"""

from collections.abc import Iterable

import torch
import torch.distributed as dist

from toybox.train import runs

MATRIX_RATE = 2e-3
"""Of Muon, scaled so that updates are as large as AdamW's would be."""
TABLES = ("embeddings", "token_embedding", "position_embedding", "conv_in", "conv_out")
"""Parts of names whose matrices AdamW trains: tables of tokens and positions, the first and the last layer."""


def split_matrices(modules: Iterable[torch.nn.Module]) -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
    """Returns what Muon trains (matrices and convolutions between hidden layers) and what AdamW trains, in fixed order."""
    matrices, others = [], []
    for module in modules:
        for name, parameter in module.named_parameters():
            table = parameter.ndim < 2 or any(word in name for word in TABLES)
            (others if table else matrices).append(parameter)
    return matrices, others


def share_out(sizes: list[int], ranks: int) -> list[list[int]]:
    """Deals numbers out so that every rank gets about the same sum; returns the indices of each rank in order."""
    shares: list[list[int]] = [[] for _ in range(ranks)]
    sums = [0] * ranks
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        rank = sums.index(min(sums))
        shares[rank].append(i)
        sums[rank] += sizes[i]
    return [sorted(share) for share in shares]


class Both:
    """Muon and AdamW over the same networks.

    Args:
        modules: what learns.
        lr: highest rate of AdamW; Muon's is `MATRIX_RATE`.
        decay: weight decay of both.
        rank: which of the processes this is.
        ranks: processes that share each step; gradients must have been averaged over them.
    """

    def __init__(
        self, modules: Iterable[torch.nn.Module], lr: float, *, decay: float = 0.01, rank: int = 0, ranks: int = 1
    ) -> None:
        self.matrices, self.others = split_matrices(modules)
        self.lr, self.rank, self.ranks = lr, rank, ranks
        self.adamw = runs.adamw(self.others, lr, decay=decay)
        self.shares = share_out([p.numel() for p in self.matrices], ranks)
        own = [self.matrices[i] for i in self.shares[rank]]
        # Muon takes two dimensions only: convolutions are seen as (out, rest)
        self.rows = [torch.nn.Parameter(p.detach().reshape(len(p), -1).clone()) for p in own]
        self.muon = torch.optim.Muon(self.rows, lr=MATRIX_RATE, weight_decay=decay, adjust_lr_fn="match_rms_adamw")

    def set_rate(self, factor: float) -> None:
        """Sets both rates to a share of their highest."""
        runs.set_rate(self.adamw, self.lr * factor)
        runs.set_rate(self.muon, MATRIX_RATE * factor)

    def step(self) -> None:
        """Steps everything and forgets the gradients."""
        self.adamw.step()
        for i, row in zip(self.shares[self.rank], self.rows, strict=True):
            gradient = self.matrices[i].grad
            row.grad = None if gradient is None else gradient.reshape(row.shape)
        self.muon.step()
        self._exchange()
        for parameter in [*self.matrices, *self.others]:
            parameter.grad = None

    @torch.no_grad()
    def _exchange(self) -> None:
        """Puts stepped matrices back and, with several ranks, sends each rank's share to all others."""
        for rank, share in enumerate(self.shares):
            sizes = [self.matrices[i].numel() for i in share]
            if self.ranks == 1:
                pieces: Iterable[torch.Tensor] = self.rows
            else:
                mine = rank == self.rank
                flat = torch.cat([row.reshape(-1) for row in self.rows]) if mine else torch.empty(sum(sizes))
                dist.broadcast(flat, rank)
                pieces = flat.split(sizes)
            for i, piece in zip(share, pieces, strict=True):
                self.matrices[i].copy_(piece.view(self.matrices[i].shape))

    def state(self) -> dict:
        """Returns what a checkpoint keeps: AdamW's state. Muon's momentum remembers some twenty steps and warms up again."""
        return self.adamw.state_dict()

    def restore(self, state: dict) -> None:
        """Takes a checkpoint's state; one of another division of the parameters is left out. The matrices are read anew."""
        wanted = [len(group["params"]) for group in self.adamw.param_groups]
        if [len(group["params"]) for group in state["param_groups"]] == wanted:
            self.adamw.load_state_dict(state)
        with torch.no_grad():
            for i, row in zip(self.shares[self.rank], self.rows, strict=True):
                row.copy_(self.matrices[i].reshape(row.shape))
