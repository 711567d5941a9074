/* A reference for the bench: 16 bytes to another process by a pipe, and back by another.
 *
 * Build: cc -std=gnu11 -O2 -o round_trip round_trip.c
 *
 *   round_trip TIMES          each process on a processor of its own, if there are two
 *   round_trip TIMES together both on one
 *
 * Prints the median, in microseconds. Exit status 0, or 1 and a line on standard error.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SIZE 16

static void die(const char *what)
{
    fprintf(stderr, "round_trip: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* The one that stands at a place among those that we may use; the last, if there are fewer. */
static void stay_on(int place)
{
    cpu_set_t all, one;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof all, &all) != 0)
        die("sched_getaffinity");
    for (int cpu = 0; cpu < CPU_SETSIZE && place >= 0; cpu++)
        if (CPU_ISSET(cpu, &all)) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            place--;
        }
    if (sched_setaffinity(0, sizeof one, &one) != 0)
        die("sched_setaffinity");
}

static void echo(int from, int to)
{
    char data[SIZE];
    while (read(from, data, SIZE) == SIZE)
        if (write(to, data, SIZE) != SIZE)
            _exit(1);
    _exit(0);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    int times = argc > 1 ? atoi(argv[1]) : 0, to[2], back[2];
    double *took = times > 0 ? calloc((size_t)times, sizeof *took) : NULL;
    char data[SIZE] = "";
    if (took == NULL) {
        fprintf(stderr, "usage: round_trip TIMES [together]\n");
        return 1;
    }
    if (pipe(to) != 0 || pipe(back) != 0)
        die("pipe");
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        close(to[1]);
        stay_on(argc > 2 ? 0 : 1);
        echo(to[0], back[1]);
    }
    stay_on(0);
    for (int i = 0; i < times; i++) {
        double start = now();
        if (write(to[1], data, SIZE) != SIZE || read(back[0], data, SIZE) != SIZE)
            die("round trip");
        took[i] = now() - start;
    }
    qsort(took, (size_t)times, sizeof *took, compare);
    printf("%.3f\n", took[times / 2]);
    return 0;
}
