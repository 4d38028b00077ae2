"""The normalised user-item graph of the retained training pairs, and propagation over it."""

import numpy as np
import scipy.sparse
import torch


def normalised_adjacency(dataset):
    """Return D^-1/2 A D^-1/2 of the bipartite graph of retained training pairs.

    Nodes are all user ids, then all item ids; a repeated pair is one edge. Degrees carry RecBole's 1e-7.

    Returns:
        float32 sparse CSR tensor [n_users + n_items, n_users + n_items]; symmetric.
    """
    pairs = dataset.inter_matrix("csr")
    pairs.data[:] = 1.0
    adjacency = scipy.sparse.block_array([[None, pairs], [pairs.T, None]], format="csr")
    scale = np.power(np.asarray(adjacency.sum(axis=1)).ravel() + 1e-7, -0.5)
    adjacency = (scipy.sparse.diags_array(scale) @ adjacency @ scipy.sparse.diags_array(scale)).tocsr()
    adjacency.sort_indices()
    return torch.sparse_csr_tensor(
        torch.from_numpy(adjacency.indptr.astype(np.int64)),
        torch.from_numpy(adjacency.indices.astype(np.int64)),
        torch.from_numpy(adjacency.data.astype(np.float32)),
        size=adjacency.shape,
        check_invariants=False,
    )


class _SymmetricProduct(torch.autograd.Function):
    """``A @ x`` for a symmetric ``A``: its gradient is the same product again, to any order."""

    @staticmethod
    def forward(ctx, matrix, dense):
        ctx.matrix = matrix
        return matrix @ dense

    @staticmethod
    def backward(ctx, gradient):
        return None, _SymmetricProduct.apply(ctx.matrix, gradient.contiguous())


def propagate(matrix, embeddings):
    """Return ``matrix @ embeddings`` for a symmetric sparse matrix, differentiable twice and more."""
    return _SymmetricProduct.apply(matrix, embeddings)
