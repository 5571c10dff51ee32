/* Dense matrix product, the inner loop down a column: regular strides, many first-level misses, few beyond. */
#include <stdio.h>

enum { N = 208 };
static double a[N][N], b[N][N], c[N][N];

int main(void) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i][j] = i + 2 * j;
            b[i][j] = i - j;
        }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0;
            for (int k = 0; k < N; k++)
                sum += a[i][k] * b[k][j];
            c[i][j] = sum;
        }
    printf("%.0f\n", c[3][5] + c[N - 1][N - 1]);
    return 0;
}
