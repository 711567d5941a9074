/*
 * All that runs in a guest: it proves its own memory. One line a tick:
 *   rig-guest id=<random id> count=<n> churn=<n> memory ok
 * After a restore the id must be the same, the counter must go on and the memory must
 * be ok. "block" never changes and is checked against its first sum; "churn" is
 * written over and over with pieces of it, and compared with them. Between ticks it
 * sleeps: under emulation a busy guest is what dom0 waits for.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PIECES = 16, PIECE = 256 * 1024, WORDS = PIECES * PIECE / sizeof(uint64_t) };

static unsigned char block[PIECES][PIECE], churn[PIECES][PIECE];
static unsigned int piece_at[PIECES]; /* which piece of the block each place has */

static void fail(const char *what)
{
    perror(what); /* the end of the first process is a panic: the domain ends */
    exit(1);
}

static void use_console(void)
{
    int console;

    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL); /* or it is there already */
    console = open("/dev/hvc0", O_RDWR);
    if (console < 0)
        fail("/dev/hvc0");
    for (int end = 0; end <= 2; end++)
        dup2(console, end);
    setvbuf(stdout, NULL, _IOLBF, 0);
}

/* Each needs those before it. An interface may come later, with a restore. */
static void load_modules(void)
{
    FILE *order = fopen("/modules/order", "re");
    char name[NAME_MAX], path[NAME_MAX + sizeof("/modules/")];

    if (!order)
        fail("/modules/order");
    while (fscanf(order, "%254s", name) == 1) {
        int module;

        snprintf(path, sizeof(path), "/modules/%s", name);
        module = open(path, O_RDONLY | O_CLOEXEC);
        if (module < 0 || syscall(SYS_finit_module, module, "", 0))
            fail(path);
        close(module);
    }
    fclose(order);
}

/* Any bytes that no other guest has will do: a guest has no entropy as it boots. */
static void fill(void *memory, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = getrandom((char *)memory + done, size - done, GRND_INSECURE);

        if (got < 0)
            fail("getrandom");
        done += (size_t)got;
    }
}

static uint64_t sum_of_block(void)
{
    uint64_t sum = 0, word;

    for (size_t i = 0; i < WORDS; i++) {
        memcpy(&word, (unsigned char *)block + i * sizeof(word), sizeof(word));
        sum = (sum << 7 | sum >> 57) ^ word;
    }
    return sum;
}

/* Another piece of the block goes to each place, each time round. */
static void write_piece(unsigned int step)
{
    unsigned int place = step % PIECES;

    piece_at[place] = (step * 7 + step / PIECES) % PIECES;
    memcpy(churn[place], block[piece_at[place]], PIECE);
}

static const char *state(uint64_t sum)
{
    if (sum_of_block() != sum)
        return "memory BAD block";
    for (unsigned int place = 0; place < PIECES; place++)
        if (memcmp(churn[place], block[piece_at[place]], PIECE))
            return "memory BAD churn";
    return "memory ok";
}

int main(void)
{
    const struct timespec pause = { .tv_nsec = 500 * 1000 * 1000 };
    uint32_t id;
    uint64_t sum;

    use_console();
    load_modules();
    fill(&id, sizeof(id));
    fill(block, sizeof(block));
    sum = sum_of_block();
    for (unsigned int place = 0; place < PIECES; place++)
        write_piece(place);
    for (unsigned int step = PIECES, count = 1;; step++, count++) {
        write_piece(step);
        printf("rig-guest id=%08" PRIx32 " count=%u churn=%u %s\n", id, count,
               step, state(sum));
        nanosleep(&pause, NULL);
    }
}
