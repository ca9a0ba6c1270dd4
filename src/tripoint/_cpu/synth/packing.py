"""Particles that overlap too much are pushed apart until none does."""

import math

import numpy as np

from tripoint._cpu.compiled import compiled

TURNS = 8  # directions tried for the plane that separates two particles best
PATIENCE = 100  # sweeps in which the overlaps must shrink by a twentieth
BEYOND = 1e-3  # what two particles are pushed further apart than needed, share of their radii


@compiled()
def relax(centres, radii, reach, half, bodies, template, points, box, walls, inset, keep, tolerance, sweeps):
    """Push particles apart, pair by pair, until the overlap of each is what is allowed.

    Two convex particles, shrunk by ``keep`` = 1 − overlap, are apart by the most of
    ``d · u − h_a(u) − h_b(−u)`` over directions u, where h is the support function: how far a particle
    reaches along a direction.  A pair that is not apart moves along that u, the smaller one further.  One
    thread, pairs in a fixed order.

    centres (n, 3) µm are moved in place, within a periodic box or, with ``walls``, ``inset`` away from them.
    ``reach`` (n) is the largest radius of each, ``half`` (n, 3) its half extents, ``bodies`` (n, 3, 3) turn
    positions in the template into µm; ``template`` (n) is −1 for ellipsoids, else it chooses from ``points``
    (t, p, 3), on the surface.  Returns the worst overlap beyond what is allowed, as a share of the radii of
    the pair, and the sweeps done.
    """
    skin = 0.25 * np.median(radii) * keep
    if walls:
        _keep_inside(centres, half, box, inset)
    at = centres.copy()
    pairs = _pairs(centres, reach, box, walls, keep, skin)
    before, worst, sweep, look = np.inf, np.inf, 0, False
    for sweep in range(sweeps):
        if _travelled(centres, at, box, walls) > skin / 2:
            pairs = _pairs(centres, reach, box, walls, keep, skin)
            at[:] = centres
        worst, total = _sweep(
            centres, radii, reach, bodies, template, points, box, walls, keep, pairs, not look
        )
        if worst <= tolerance and look:
            break
        look = worst <= tolerance  # the next sweep moves nothing: each pair was judged before others moved
        if walls:
            _keep_inside(centres, half, box, inset)
        if (sweep + 1) % PATIENCE == 0:
            if total > 0.95 * before:
                break
            before = total
    return worst, sweep + 1


@compiled()
def _sweep(centres, radii, reach, bodies, template, points, box, walls, keep, pairs, move):
    worst, total = 0.0, 0.0
    d, u = np.empty(3), np.empty(3)
    for p in range(pairs.shape[0]):
        i, j = pairs[p, 0], pairs[p, 1]
        distance = 0.0
        for a in range(3):
            d[a] = centres[j, a] - centres[i, a]
            if not walls:
                d[a] -= box[a] * np.rint(d[a] / box[a])
            distance += d[a] * d[a]
        if distance >= (keep * (reach[i] + reach[j])) ** 2:
            continue
        distance = math.sqrt(distance)
        if distance == 0:
            d[0], distance = 1e-9, 1e-9
        both = radii[i] + radii[j]
        if reach[i] == radii[i] and reach[j] == radii[j]:  # spheres
            apart = distance - keep * both
            for a in range(3):
                u[a] = d[a] / distance
        else:
            apart = _apart(d, distance, bodies[i], bodies[j], template[i], template[j], points, keep, u)
        if apart >= 0:
            continue
        worst = max(worst, -apart / both)
        total -= apart
        if move:
            step = BEYOND * both - apart
            for a in range(3):
                centres[i, a] -= u[a] * step * radii[j] / both
                centres[j, a] += u[a] * step * radii[i] / both
                if not walls:
                    centres[i, a] -= box[a] * math.floor(centres[i, a] / box[a])
                    centres[j, a] -= box[a] * math.floor(centres[j, a] / box[a])
    return worst, total


@compiled()
def _apart(d, distance, body_i, body_j, template_i, template_j, points, keep, best):
    """Return how far two particles are apart, negative where they overlap, and the direction in best.

    Uphill from the line of centres: further off there are other summits, and pairs that follow them jam.
    """
    u, w, step = d / distance, np.empty(3), np.empty(3)
    x_i, x_j = np.empty(3), np.empty(3)
    found, stride = -np.inf, 0.5
    for _ in range(TURNS):
        _support(u, 1.0, body_i, template_i, points, x_i)
        _support(u, -1.0, body_j, template_j, points, x_j)
        for a in range(3):
            w[a] = d[a] + keep * (x_j[a] - x_i[a])
        along = w[0] * u[0] + w[1] * u[1] + w[2] * u[2]
        if along > found:
            found = along
            best[:] = u
            if found >= 0:
                break
            for a in range(3):
                step[a] = w[a] - along * u[a]
        else:
            stride *= 0.5
        for a in range(3):
            u[a] = best[a] + stride / distance * step[a]
        u /= math.sqrt(u[0] * u[0] + u[1] * u[1] + u[2] * u[2])
    return found


@compiled()
def _support(u, sign, body, template, points, result):
    """Find the point of a particle that lies furthest along a direction, from its centre, µm."""
    v0 = sign * (body[0, 0] * u[0] + body[1, 0] * u[1] + body[2, 0] * u[2])
    v1 = sign * (body[0, 1] * u[0] + body[1, 1] * u[1] + body[2, 1] * u[2])
    v2 = sign * (body[0, 2] * u[0] + body[1, 2] * u[1] + body[2, 2] * u[2])
    if template < 0:
        length = math.sqrt(v0 * v0 + v1 * v1 + v2 * v2)
        y0, y1, y2 = v0 / length, v1 / length, v2 / length
    else:
        most, at = -np.inf, 0
        for k in range(points.shape[1]):
            value = points[template, k, 0] * v0 + points[template, k, 1] * v1 + points[template, k, 2] * v2
            if value > most:
                most, at = value, k
        y0, y1, y2 = points[template, at, 0], points[template, at, 1], points[template, at, 2]
    for a in range(3):
        result[a] = body[a, 0] * y0 + body[a, 1] * y1 + body[a, 2] * y2


@compiled()
def _keep_inside(centres, half, box, inset):
    for i in range(centres.shape[0]):
        for a in range(3):
            low, high = inset[a] + half[i, a], box[a] - inset[a] - half[i, a]
            if low > high:
                centres[i, a] = box[a] / 2
            else:
                centres[i, a] = min(max(centres[i, a], low), high)


@compiled()
def _travelled(centres, at, box, walls):
    """Return the longest way of a particle since the pairs were found."""
    most = 0.0
    for i in range(centres.shape[0]):
        squared = 0.0
        for a in range(3):
            way = centres[i, a] - at[i, a]
            if not walls:
                way -= box[a] * np.rint(way / box[a])
            squared += way * way
        most = max(most, squared)
    return math.sqrt(most)


@compiled()
def _pairs(centres, reach, box, walls, keep, skin):
    """Return the pairs (m, 2) that could meet before any particle has moved by half the skin."""
    cell = 2 * keep * reach.max() + skin
    cells = np.empty(3, np.int64)
    for a in range(3):
        cells[a] = max(1, int(box[a] / cell))
    head = np.full((cells[0], cells[1], cells[2]), -1, np.int64)
    following = np.full(reach.size, -1, np.int64)
    place = np.empty((reach.size, 3), np.int64)
    for i in range(reach.size - 1, -1, -1):
        for a in range(3):
            place[i, a] = min(cells[a] - 1, max(0, int(centres[i, a] / box[a] * cells[a])))
        following[i] = head[place[i, 0], place[i, 1], place[i, 2]]
        head[place[i, 0], place[i, 1], place[i, 2]] = i
    pairs = np.empty((64 + 8 * reach.size, 2), np.int64)
    n = 0
    for i in range(reach.size):
        for oz in range(*_around(cells[0])):
            for oy in range(*_around(cells[1])):
                for ox in range(*_around(cells[2])):
                    z, y, x = place[i, 0] + oz, place[i, 1] + oy, place[i, 2] + ox
                    j = head[z % cells[0], y % cells[1], x % cells[2]]
                    while j >= 0:
                        if j > i and _near(centres, i, j, box, walls, keep * (reach[i] + reach[j]) + skin):
                            if n == pairs.shape[0]:
                                pairs = np.concatenate((pairs, np.empty_like(pairs)))
                            pairs[n, 0], pairs[n, 1] = i, j
                            n += 1
                        j = following[j]
    return pairs[:n]


@compiled()
def _around(cells):
    """Return the range of steps to neighbouring cells; with one or two cells none may come twice."""
    if cells >= 3:
        return -1, 2
    return 0, cells


@compiled()
def _near(centres, i, j, box, walls, distance):
    squared = 0.0
    for a in range(3):
        d = centres[j, a] - centres[i, a]
        if not walls:
            d -= box[a] * np.rint(d / box[a])
        squared += d * d
    return squared < distance * distance
