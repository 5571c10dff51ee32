/* Merge sort of a linked list that is scattered over twice the last-level cache: dependent loads, shrinking locality. */
#include <stdint.h>
#include <stdio.h>

enum { NODES = 1 << 14 };
static struct node { struct node *next; uint32_t value; uint32_t unused[5]; } nodes[NODES];

static struct node *merge(struct node *a, struct node *b) {
    struct node head, *tail = &head;
    while (a && b) {
        struct node **least = a->value <= b->value ? &a : &b;
        tail = tail->next = *least;
        *least = (*least)->next;
    }
    tail->next = a ? a : b;
    return head.next;
}

static struct node *sort(struct node *list, int length) {
    if (length < 2) {
        if (list)
            list->next = 0;
        return list;
    }
    struct node *middle = list;
    for (int i = 0; i < length / 2; i++)
        middle = middle->next;
    struct node *second = sort(middle, length - length / 2);
    return merge(sort(list, length / 2), second);
}

int main(void) {
    uint32_t state = 2463534242u;
    for (uint32_t i = 0; i < NODES; i++) { /* an odd step visits each node once, in an order without locality */
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        nodes[i].value = state;
        nodes[i * 6151u % NODES].next = i + 1 < NODES ? &nodes[(i + 1) * 6151u % NODES] : 0;
    }
    struct node *sorted = sort(&nodes[0], NODES);
    uint64_t sum = 0, place = 0;
    for (struct node *node = sorted; node; node = node->next)
        sum += ++place * node->value;
    printf("%llu\n", (unsigned long long)sum);
    return 0;
}
