# Objects in plain Python: dictionaries, a search in a maze, a text taken apart, a cache of recent things. Another
# character than the numbers: pointers, hashes and small allocations.
import sys

path = sys.argv[1]
rounds = int(sys.argv[2])


class Node:
    __slots__ = ("key", "value", "before", "after")

    def __init__(self, key, value):
        self.key, self.value, self.before, self.after = key, value, None, None


class Recent:
    """Keeps the last so many things, in a dictionary and in a ring whose head stands between newest and oldest."""

    def __init__(self, room):
        self.room, self.nodes, self.hits = room, {}, 0
        self.head = Node(None, None)
        self.head.before = self.head.after = self.head

    def get(self, key):
        node = self.nodes.get(key)
        if node is None:
            node = self.nodes[key] = Node(key, len(key))
            if len(self.nodes) > self.room:
                oldest = self.head.after
                self.unlink(oldest)
                del self.nodes[oldest.key]
        else:
            self.hits += 1
            self.unlink(node)
        node.before, node.after = self.head.before, self.head
        node.before.after = node
        self.head.before = node
        return node.value

    def unlink(self, node):
        node.before.after, node.after.before = node.after, node.before


def maze(side, seed):
    walls = set()
    for at in range(side * side):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        if seed % 10 < 3:
            walls.add((at % side, at // side))
    front, seen, steps = [(0, 0)], {(0, 0)}, 0
    while front:
        steps += 1
        further = []
        for x, y in front:
            for place in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)):
                if 0 <= place[0] < side and 0 <= place[1] < side and place not in walls and place not in seen:
                    seen.add(place)
                    further.append(place)
        front = further
    return len(seen), steps


with open(path, encoding="latin-1") as file:
    lines = file.read().split("\n")

for turn in range(rounds):
    counts, fields = {}, {}
    for line in lines:
        words = line.split(" ")
        for word in words:
            counts[word] = counts.get(word, 0) + 1
        fields.setdefault(len(words), []).append(words[-1])
    common = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:8]
    print(turn, len(counts), common[turn % 8], sorted((k, len(v)) for k, v in fields.items())[:5])

    print("  maze", *maze(230, turn + 7))

    cache, total = Recent(3000), 0
    for line in lines:
        for word in line.split(" ", 6)[:6]:
            total += cache.get(word)
    print("  recent", cache.hits, total)

    records = [dict(zip("abcdefgh", line.split(" "))) for line in lines[: len(lines) // 2]]
    records.sort(key=lambda record: (record.get("d", ""), record.get("f", ""), record.get("a", "")))
    joined = "|".join(record.get("e", "-") for record in records)
    print("  records", len(records), len(joined), sum(map(ord, joined[:: 7])) % 65521)
