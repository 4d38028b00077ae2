"""Slow reference versions of the collaborative-filtering models in float64: dense matrices, loops, the papers' symbols.

Each function takes a model with its parameters and hyper-parameters, the pairs of its data set, and a batch as lists of
ids. It returns the loss and the matrix of all scores [n_users, n_items].
"""

import math

import torch


def rows_of(batch):
    """Return the (user, item, negative item) triples of a batch."""
    columns = [batch[name].tolist() for name in ("user_id", "item_id", "neg_item_id") if name in batch]
    return list(zip(*columns, strict=True))


def adjacency(model, pairs):
    """Return the dense 0/1 adjacency matrix of users followed by items."""
    n = model.n_users + model.n_items
    a = torch.zeros(n, n)
    for user, item in pairs:
        a[user, model.n_users + item] = a[model.n_users + item, user] = 1.0
    return a


def normalised(a):
    """Return D^-1/2 A D^-1/2, with 1e-7 added to the degrees as in RecBole."""
    d = a.sum(dim=1) + 1e-7
    return a / torch.sqrt(d[:, None] * d[None, :])


def tables(model):
    return torch.cat([model.user_embedding.weight, model.item_embedding.weight])


def mean_of_layers(model, matrices):
    layers = [tables(model)]
    for matrix in matrices:
        layers.append(matrix @ layers[-1])
    mean = torch.stack(layers).mean(dim=0)
    return mean[: model.n_users], mean[model.n_users :]


def norms(*vectors):
    """Return RecBole's EmbLoss: the sum of the Frobenius norms of lists of vectors, divided by the batch size."""
    return sum(torch.stack(group).norm() for group in vectors) / len(vectors[0])


def ego_norms(model, rows):
    users, items = model.user_embedding.weight, model.item_embedding.weight
    return norms([users[u] for u, _, _ in rows], [items[p] for _, p, _ in rows], [items[n] for _, _, n in rows])


def bpr_of(rows, users, items, gamma=1e-10):
    return [-torch.log(gamma + torch.sigmoid(users[u] @ items[p] - users[u] @ items[n])) for u, p, n in rows]


def cosine(a, b):
    return (a @ b) / (a.norm() * b.norm()).clamp_min(1e-16)  # 0 for a zero vector


def sgl(model, pairs, batch):
    rows = rows_of(batch)
    users, items = mean_of_layers(model, [normalised(adjacency(model, pairs))] * model.n_layers)
    views = []
    for matrices in model.views():  # their values are recomputed from their edges
        views.append(mean_of_layers(model, [normalised((m.to_dense() > 0).to(torch.float64)) for m in matrices]))
    contrast = 0.0
    for side, nodes in ((0, [u for u, _, _ in rows]), (1, [p for _, p, _ in rows])):
        first, second = views[0][side], views[1][side]
        for node in nodes:
            scores = [math.e ** (cosine(first[node], other) / model.ssl_tau) for other in second]
            contrast = contrast - torch.log(scores[node] / sum(scores))
    loss = sum(bpr_of(rows, users, items, gamma=0.0)) + model.reg_weight * ego_norms(model, rows)
    return loss + model.ssl_weight * contrast, users @ items.T


def spectralcf(model, pairs, batch):
    rows, a = rows_of(batch), adjacency(model, pairs)
    identity = torch.eye(len(a))
    laplacian = identity - a / (a.sum(dim=1, keepdim=True) + 1e-7)
    layers = [tables(model)]
    for weight in model.filters:
        layers.append(torch.sigmoid((identity + laplacian) @ layers[-1] @ weight))
    whole = torch.cat(layers, dim=1)
    users, items = whole[: model.n_users], whole[model.n_users :]
    size = norms([users[u] for u, _, _ in rows], [items[p] for _, p, _ in rows], [items[n] for _, _, n in rows])
    return sum(bpr_of(rows, users, items)) / len(rows) + model.reg_weight * size, users @ items.T


def neumf(model, pairs, batch):
    def logit(user, item):
        gmf = model.user_mf_embedding.weight[user] * model.item_mf_embedding.weight[item]
        x = torch.cat([model.user_mlp_embedding.weight[user], model.item_mlp_embedding.weight[item]])
        for layer in (m for m in model.mlp_layers.modules() if isinstance(m, torch.nn.Linear)):
            x = torch.clamp(layer.weight @ x + layer.bias, min=0)
        return (model.predict_layer.weight[0] @ torch.cat([gmf, x])) + model.predict_layer.bias[0]

    loss = 0.0
    for user, item, label in zip(*(batch[f].tolist() for f in ("user_id", "item_id", "label")), strict=True):
        p = torch.sigmoid(logit(user, item))
        loss = loss - (torch.log(p) if label else torch.log(1 - p))
    scores = [[torch.sigmoid(logit(u, i)) for i in range(model.n_items)] for u in range(model.n_users)]
    return loss / len(batch), torch.stack([torch.stack(row) for row in scores])


def wmf(model, pairs, batch):
    """Return the loss and scores of WMF.

    The batch must contain all pairs, since only the sum over all has a simple form.
    """
    users, items, w = model.user_embedding.weight, model.item_embedding.weight, model.negative_weight
    assert sorted(rows_of(batch)) == sorted(pairs)
    loss = 0.0
    for user in {u for u, _ in pairs}:
        for item in range(1, model.n_items):
            r = users[user] @ items[item]
            loss = loss + ((1 - r) ** 2 - 1 if (user, item) in pairs else w * r**2)
    return loss, users @ items.T


def dccf(model, pairs, batch):
    rows, a = rows_of(batch), adjacency(model, pairs)
    split = model.n_users

    def weighted(guide, e):
        out = torch.zeros_like(e)
        for node in range(len(a)):
            neighbours = a[node].nonzero().flatten().tolist()
            weights = [(cosine(guide[node], guide[other]) + 1) / 2 for other in neighbours]
            for weight, other in zip(weights, neighbours, strict=True):
                out[node] = out[node] + weight / sum(weights) * e[other]
        return out

    def intents(e):
        parts = zip((e[:split], e[split:]), (model.user_intent, model.item_intent), strict=True)
        return torch.cat([torch.softmax(part @ c, dim=1) @ c.T for part, c in parts])

    layers, contrast = [tables(model)], 0.0
    for _ in range(model.n_layers):
        e = layers[-1]
        z, r = normalised(a) @ e, intents(e)
        others = (r, weighted(z, e), weighted(r, e))
        for nodes in ({u for u, _, _ in rows}, {p + split for _, p, _ in rows}):
            for other in others:
                for node in nodes:
                    scores = {n: torch.exp(cosine(z[node], other[n]) / model.temp) for n in nodes}
                    contrast = contrast - torch.log(scores[node] / sum(scores.values())) / len(nodes)
        layers.append(e + z + sum(others))
    whole = sum(layers)
    users, items = whole[:split], whole[split:]
    ego = tables(model)
    size = sum((ego[n] ** 2).sum() for u, p, q in rows for n in (u, split + p, split + q))
    prototypes = (model.user_intent**2).sum() + (model.item_intent**2).sum()
    loss = sum(bpr_of(rows, users, items, gamma=0.0)) / len(rows) + model.emb_reg * size + model.cen_reg * prototypes
    return loss + model.ssl_reg * contrast, users @ items.T


def teacher_layers(model, pairs):
    """Return the layers of SimRec's teacher as constants; each node is its own neighbour."""
    a = normalised(adjacency(model, pairs) + torch.eye(model.n_users + model.n_items))
    layers = [tables(model.teacher).detach()]
    for _ in range(model.config["n_layers"]):
        layers.append(a @ layers[-1])
    return layers


def simrec(model, pairs, batch):
    rows, config = rows_of(batch), model.config
    layers = teacher_layers(model, pairs)
    teacher, high = sum(layers), sum(layers[2:])
    split = model.n_users
    triples = list(zip(*(t.tolist() for t in model._triples(torch.device("cpu"))), strict=True))
    distinct = {u for u, _, _ in rows}, {p for _, p, _ in rows}

    def x(e):
        h = model.layer.weight @ e
        return e + torch.where(h > 0, h, 0.5 * h)

    def main(users, items):
        return -sum(x(users[u]) @ x(items[p]) for u, p, _ in rows) / len(rows)

    def soft(users, items):
        loss = 0.0
        for u, i, j in triples:
            t = torch.sigmoid(teacher[u] @ (teacher[split + i] - teacher[split + j]) / config["soft_tau"])
            s = torch.sigmoid(x(users[u]) @ (x(items[i]) - x(items[j])) / config["soft_tau"])
            loss = loss - (t * torch.log(s) + (1 - t) * torch.log(1 - s)) / len(triples)
        return config["soft_weight"] * loss

    def distil(users, items):
        loss = 0.0
        for nodes, taught, table in zip(distinct, (high[:split], high[split:]), (users, items), strict=True):
            for node in nodes:
                scores = [torch.exp(cosine(taught[node], own) / config["distill_tau"]) for own in table]
                loss = loss - torch.log(scores[node] / sum(scores)) / len(nodes)
        return config["distill_weight"] * loss

    users, items = model.user_embedding.weight, model.item_embedding.weight
    g = [torch.autograd.grad(term(users, items), (users, items)) for term in (distil, soft, main)]
    spread = 0.0
    for side, nodes in enumerate(distinct):
        for node in nodes:
            one, two, mine = (gradient[side][node] for gradient in g)
            conflict = cosine(one + two, mine) <= cosine(one, two)
            weight = 1 + (config["epsilon"] if conflict else -config["epsilon"]) * model.training
            against = (users, items) if side == 0 else (items,)
            for table in against:
                own = x((users, items)[side][node])
                total = sum(torch.exp(own @ x(other) / config["contrast_tau"]) for other in table)
                spread = spread + weight * torch.log(total) / len(nodes)
    size = config["reg_weight"] * ((users**2).sum() + (items**2).sum())
    loss = main(users, items) + soft(users, items) + distil(users, items) + config["contrast_weight"] * spread + size
    xs = [torch.stack([x(e) for e in table]) for table in (users, items)]
    return loss, xs[0] @ xs[1].T


ORACLES = {
    "SGL": sgl,
    "SpectralCF": spectralcf,
    "NeuMF": neumf,
    "WMF": wmf,
    "DCCF": dccf,
    "SimRec": simrec,
}
