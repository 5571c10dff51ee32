# Numbers in plain Python: a sieve, bodies that attract each other, matrices, long integers. Each part is a different use
# of the interpreter, and all are repeated.
import sys

size = int(sys.argv[1])
rounds = int(sys.argv[2])


def sieve(limit):
    flags = bytearray([1]) * limit
    flags[0:2] = b"\0\0"
    for n in range(2, int(limit**0.5) + 1):
        if flags[n]:
            flags[n * n :: n] = bytes(len(range(n * n, limit, n)))
    return [n for n in range(limit) if flags[n]]


def bodies(steps):
    state = [[i * 1.7 % 5, i * 2.3 % 7, 0.0, 0.0, 1.0 + i % 3] for i in range(12)]
    for _ in range(steps):
        for i, a in enumerate(state):
            for b in state[i + 1 :]:
                dx, dy = a[0] - b[0], a[1] - b[1]
                pull = 0.001 / (dx * dx + dy * dy + 0.1)
                a[2] -= dx * b[4] * pull
                a[3] -= dy * b[4] * pull
                b[2] += dx * a[4] * pull
                b[3] += dy * a[4] * pull
        for a in state:
            a[0] += a[2]
            a[1] += a[3]
    return sum(a[0] * a[0] + a[1] * a[1] for a in state)


def matrices(n):
    a = [[(i * j + 1) % 17 / 3.0 for j in range(n)] for i in range(n)]
    b = [[(i + 2 * j) % 13 / 7.0 for j in range(n)] for i in range(n)]
    columns = list(zip(*b))
    product = [[sum(x * y for x, y in zip(row, column)) for column in columns] for row in a]
    return sum(product[i][i] for i in range(n))


def long_integers(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return sum(map(int, str(a % 10**3000)))


for turn in range(rounds):
    primes = sieve(size * 1000 + turn)
    print(turn, len(primes), primes[-1], sum(primes) % 1000003)
    print("  bodies %.9f" % bodies(size // 2))
    print("  matrices %.6f" % matrices(70 + size // 20))
    print("  digits", long_integers(size * 20))
