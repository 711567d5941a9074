/* The guest process: its memory, and who does what in it. */
#ifndef SIMXEN_GUEST_H
#define SIMXEN_GUEST_H

#include "simxen.h"

#include <stdbool.h>

struct guest {
    uint8_t *memory;
    struct simxen_vcpu *vcpu;
    uint64_t *bitmap; /* cooperative dirty bitmap, written only while logging */
    uint64_t nr_pages;
    uint64_t guest_pages; /* pages this process may write: [0, guest_pages) */
    uint64_t filled;      /* initial fill: next page */
    int uffd;             /* -1 until the first arm */
    bool logging;
    /* Pacing: pages written since pace_start must not run ahead of the rate. */
    uint64_t pace_start, pace_written, pace_rate;
};

/* guest_run.c: until command EXIT. */
void guest_run(struct guest *g);

/* guest_write.c: one chunk of page writes; returns ns to wait before the next. */
uint64_t guest_write_chunk(struct guest *g);
void guest_fill_chunk(struct guest *g);
bool guest_fill_pending(const struct guest *g);
void guest_write_start(struct guest *g);

/* guest_tracker.c: bring the dirty tracker to tracker_wanted; between chunks only. */
void guest_tracker_follow(struct guest *g);

#endif
