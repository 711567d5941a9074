/* The guest's main loop: obey, then write a chunk of pages, again. */
#include "common_futex.h"
#include "guest.h"

/* Upper bound of every wait: a host that forgot to ring is still obeyed. */
#define LOOK_AGAIN (50 * NS_PER_MS)

static void set_state(struct simxen_vcpu *v, uint32_t state)
{
    if (load_word(&v->state) == state)
        return;
    store_word(&v->state, state);
    futex_ring(&v->ack);
}

static void start(struct guest *g)
{
    struct simxen_vcpu *v = g->vcpu;
    __atomic_store_n(&v->mapping, (uint64_t)(uintptr_t)g->memory, __ATOMIC_SEQ_CST);
    store_word(&v->tracker_state, SIMXEN_TRACKER_OFF);
    if (v->restored) {
        v->arch.restored_count++;
        v->restored = 0;
    }
    guest_write_start(g);
}

void guest_run(struct guest *g)
{
    struct simxen_vcpu *v = g->vcpu;
    start(g);
    for (;;) {
        /* Read the bell first: a ring after this look makes the wait below return at once. */
        uint32_t bell = load_word(&v->doorbell);
        uint64_t wait = 0;
        guest_tracker_follow(g);
        switch (load_word(&v->command)) {
        case SIMXEN_EXIT:
            set_state(v, SIMXEN_EXITED);
            return;
        case SIMXEN_RUN:
            set_state(v, SIMXEN_RUNNING);
            if (guest_fill_pending(g))
                guest_fill_chunk(g);
            else
                wait = guest_write_chunk(g);
            break;
        default: /* stop; so is a command we do not know */
            set_state(v, SIMXEN_STOPPED);
            g->pace_rate = 0; /* time spent stopped earns no pages */
            wait = LOOK_AGAIN;
        }
        if (wait)
            futex_wait(&v->doorbell, bell, wait < LOOK_AGAIN ? wait : LOOK_AGAIN);
    }
}
