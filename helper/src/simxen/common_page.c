/* Page content: a pure function of (pfn, generation), so that one stale, torn or misplaced page
 * in a restored image is found, and the whole memory has a digest that is cheap to keep. */
#include "common_page.h"
#include "simxen.h"

#include <string.h>

#define WORDS (SIMXEN_PAGE_SIZE / sizeof(uint64_t))
#define BODY_FIRST 2
#define CHECKSUM (WORDS - 1)

static inline uint64_t body_word(uint64_t seed, uint64_t i)
{
    uint64_t x = seed + i * UINT64_C(0x9e3779b97f4a7c15);
    return x ^ (x >> 29);
}

static inline uint64_t body_seed(uint64_t pfn, uint64_t generation)
{
    return mix64(mix64(pfn) + generation);
}

/* Sum and rotated xor together: any single changed word changes it. */
static uint64_t checksum(const uint64_t *word)
{
    uint64_t sum = 0, xor = 0;
    for (uint64_t i = 0; i < CHECKSUM; i++) {
        sum += word[i];
        xor ^= word[i];
    }
    return mix64(sum ^ (xor << 17 | xor >> 47));
}

void simxen_page_write(void *page, uint64_t pfn, uint64_t generation)
{
    uint64_t *word = page;
    if (generation == 0) {
        memset(page, 0, SIMXEN_PAGE_SIZE);
        return;
    }
    uint64_t seed = body_seed(pfn, generation);
    word[0] = pfn;
    word[1] = generation;
    for (uint64_t i = BODY_FIRST; i < CHECKSUM; i++)
        word[i] = body_word(seed, i);
    word[CHECKSUM] = checksum(word);
}

static int all_zero(const uint64_t *word)
{
    uint64_t any = 0;
    for (uint64_t i = 0; i < WORDS; i++)
        any |= word[i];
    return any == 0;
}

int simxen_page_check(const void *page, uint64_t pfn)
{
    const uint64_t *word = page;
    uint64_t generation = word[1];
    if (generation == 0)
        return all_zero(word);
    uint64_t seed = body_seed(pfn, generation), wrong = word[0] ^ pfn;
    for (uint64_t i = BODY_FIRST; i < CHECKSUM; i++)
        wrong |= word[i] ^ body_word(seed, i);
    return wrong == 0 && word[CHECKSUM] == checksum(word);
}

uint64_t simxen_page_mix(uint64_t pfn, uint64_t generation)
{
    return generation == 0 ? 0 : mix64(mix64(pfn + 1) ^ generation);
}

void simxen_page_advance(void *page, uint64_t pfn, uint64_t *digest)
{
    uint64_t old = ((const uint64_t *)page)[1];
    simxen_page_write(page, pfn, old + 1);
    __atomic_add_fetch(digest, simxen_page_mix(pfn, old + 1) - simxen_page_mix(pfn, old),
                       __ATOMIC_SEQ_CST);
}
