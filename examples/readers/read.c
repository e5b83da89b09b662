/* Read cases.txt and check one operation: cc -o read read.c -lm && ./read cases.txt */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double value[1 << 16]; /* what was read last: an array, row by row, or one number */

static const char *next(FILE *f) {
    static char word[64];
    return fscanf(f, "%63s", word) == 1 ? word : "";
}

static void read_value(FILE *f) {
    int axes = strstr("number name flag none", next(f)) ? 0 : atoi(next(f));
    long count = 1;
    while (axes-- > 0) count *= atol(next(f));
    for (long i = 0; i < count && i < 1 << 16; i++) value[i] = strtod(next(f), NULL);
}

int main(int argc, char **argv) {
    FILE *f = argc > 1 ? fopen(argv[1], "r") : NULL;
    char key[64], name[64] = "", op[64] = "";
    double rec = 0, con = 0, weight = 0;
    int cases = 0, passed = 0;
    while (f && fscanf(f, "%63s", key) == 1) {
        if (!strcmp(key, "case")) cases += fscanf(f, "%*s %63s", op);
        if (!strcmp(key, "list") && fscanf(f, "%*s %*s") < 0) return 1;
        if (!strcmp(key, "in") && fscanf(f, "%63s", name) < 1) return 1;
        if (!strcmp(key, "out") && fscanf(f, "%63s %*s %*s %*s %*s %*s", name) < 1) return 1;
        if (strstr("item in out", key)) read_value(f);
        if (!strcmp(name, "reconstruction")) rec = value[0];
        if (!strcmp(name, "control")) con = value[0];
        if (!strcmp(name, "control_weight")) weight = value[0];
        if (!strcmp(key, "out") && !strcmp(op, "total_loss")) /* your implementation goes here */
            passed += fabs(rec + weight * con - value[0]) <= 1e-15 * fabs(value[0]);
    }
    return printf("%d cases, %d of total_loss pass\n", cases, passed) < 0 || !cases;
}
