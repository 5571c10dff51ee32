/* Counting in an open-addressed hash table four times the last-level cache: irregular loads, and stores to what was
 * just loaded. */
#include <stdint.h>
#include <stdio.h>

enum { SLOTS = 1 << 16, KEYS = 1 << 15, ROUNDS = 1500000 };
static struct { uint64_t key, count; } table[SLOTS];

static uint64_t next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

int main(void) {
    uint64_t state = 88172645463325252u, most = 0;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t key = 1 + (next(&state) & next(&state) & (KEYS - 1)); /* some keys far more often than others */
        uint64_t slot = (key * 0x9e3779b97f4a7c15u) >> 48;
        while (table[slot].key && table[slot].key != key)
            slot = (slot + 1) & (SLOTS - 1);
        table[slot].key = key;
        if (++table[slot].count > most)
            most = table[slot].count;
    }
    printf("%llu\n", (unsigned long long)most);
    return 0;
}
