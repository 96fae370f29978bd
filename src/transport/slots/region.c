/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/slots/region.h"

#include "base/constants.h"
#include "base/logging.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static size_t page_up(size_t bytes) {
    return (bytes + 4095) & ~(size_t)4095;
}

#define HUGE_PAGE ((size_t)2 << 20)

static size_t huge_page_up(size_t bytes) {
    return (bytes + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
}

/* Sets the fields of a part, which follow from its number and the region's ranks; memory: where it
 * is mapped, or NULL. */
static void lay_out(const sgp_region_t *region, int number, unsigned char *memory,
                    sgp_region_part_t *part) {
    size_t count = sgp_region_slots_before(number + 1) - sgp_region_slots_before(number);
    size_t rings = number == 0 ? page_up(sizeof(sgp_region_control_t)) : 0;
    size_t returns = rings + page_up((size_t)region->size * sgp_region_ring_bytes(number));
    size_t slots = returns + page_up((size_t)region->size * sgp_region_returns_bytes(number));
    size_t payloads = huge_page_up(slots + page_up(count * sizeof(sgp_region_slot_t)));
    *part = (sgp_region_part_t){.memory = memory,
                                .bytes = huge_page_up(payloads + count * region->chunk_bytes)};
    if (!memory) return;
    part->rings = memory + rings;
    part->returns = memory + returns;
    part->slots = (sgp_region_slot_t *)(void *)(memory + slots);
    part->payloads = memory + payloads;
}

/* Where a part begins in the file. */
static size_t offset_of(const sgp_region_t *region, int number) {
    size_t offset = 0;
    for (int p = 0; p < number; p++) {
        sgp_region_part_t part;
        lay_out(region, p, NULL, &part);
        offset += part.bytes;
    }
    return offset;
}

/* Maps the next part, which the file has already. false: see errno. */
static bool map_next(sgp_region_t *region) {
    sgp_region_part_t *part = &region->parts[region->count];
    lay_out(region, region->count, NULL, part);
    void *memory = mmap(NULL, part->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                        region->file, (off_t)offset_of(region, region->count));
    if (memory == MAP_FAILED) return false;
    /* A hint: where the system has huge pages for shared memory, passes over it miss the TLB
     * less. */
    madvise(memory, part->bytes, MADV_HUGEPAGE);
    lay_out(region, region->count++, memory, part);
    return true;
}

sgp_status_t sgp_region_map(int file, int size, size_t chunk_bytes, sgp_region_t *region) {
    sgp_region_t made = {.file = file, .size = size, .chunk_bytes = chunk_bytes};
    size_t bytes = offset_of(&made, 1); /* of part 0; it may have grown since */
    struct stat found;
    if (fstat(file, &found) != 0 || (uint64_t)found.st_size < bytes)
        return sgp_fail(SGP_ERR_MISMATCH,
                        "shm: a region of %lld bytes where %zu were expected: another version?",
                        (long long)found.st_size, bytes);
    if (!map_next(&made))
        return sgp_fail(errno == ENOMEM ? SGP_ERR_NO_MEMORY : SGP_ERR_SYSTEM,
                        "shm: cannot map %zu bytes of address space: %s", bytes, strerror(errno));
    made.control = made.parts[0].memory;
    *region = made;
    return SGP_OK;
}

sgp_status_t sgp_region_reach(sgp_region_t *region, uint32_t part) {
    struct stat found;
    if (part >= SGP_REGION_PARTS || fstat(region->file, &found) != 0 ||
        (uint64_t)found.st_size < offset_of(region, (int)part + 1))
        return sgp_fail(SGP_ERR_SYSTEM, "shm: a region has no part %u", part);
    while (region->count <= (int)part)
        if (!map_next(region))
            return sgp_fail(errno == ENOMEM ? SGP_ERR_NO_MEMORY : SGP_ERR_SYSTEM,
                            "shm: cannot map part %d of a region: %s", region->count,
                            strerror(errno));
    return SGP_OK;
}

sgp_status_t sgp_region_create(int size, size_t chunk_bytes, sgp_region_t *region) {
    int file = memfd_create("sgp", MFD_CLOEXEC);
    if (file < 0) return sgp_fail(SGP_ERR_SYSTEM, "shm: memfd_create: %s", strerror(errno));
    sgp_region_t first = {.size = size, .chunk_bytes = chunk_bytes};
    size_t bytes = offset_of(&first, 1);
    if (ftruncate(file, (off_t)bytes) != 0) {
        sgp_fail(SGP_ERR_SYSTEM, "shm: cannot size a region to %zu bytes: %s", bytes,
                 strerror(errno));
        close(file);
        return SGP_ERR_SYSTEM;
    }
    sgp_status_t status = sgp_region_map(file, size, chunk_bytes, region);
    if (status != SGP_OK) close(file);
    return status;
}

/* The last entry of each ring before leads its receiver to the new part. */
sgp_status_t sgp_region_grow(sgp_region_t *region) {
    int number = region->count;
    size_t bytes = number < SGP_REGION_PARTS ? offset_of(region, number + 1) : SIZE_MAX;
    if (bytes > (size_t)INT64_MAX || ftruncate(region->file, (off_t)bytes) != 0 ||
        !map_next(region))
        return sgp_fail(SGP_ERR_NO_MEMORY, "shm: cannot grow to %.1f GiB of address space: %s",
                        (double)bytes / (double)(1 << 30), strerror(errno));
    sgp_region_entry_t moved = {.slot = SGP_RING_MOVED, .part = (uint32_t)number};
    region->count = number;
    for (int r = 0; r < region->size; r++) sgp_region_post(region, r, &moved);
    region->count = number + 1;
    return SGP_OK;
}

void sgp_region_post(sgp_region_t *region, int rank, const sgp_region_entry_t *entry) {
    int part = region->count - 1;
    sgp_region_ring_t *ring = sgp_region_ring(region, part, rank);
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    ring->entries[tail % sgp_region_ring_room(part)] = *entry;
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
}

void sgp_region_unmap(sgp_region_t *region) {
    if (!region->control) return;
    for (int p = 0; p < region->count; p++) munmap(region->parts[p].memory, region->parts[p].bytes);
    if (region->file >= 0) close(region->file);
    *region = (sgp_region_t){.file = -1};
}

static long futex(_Atomic uint32_t *word, int operation, uint32_t value,
                  const struct timespec *timeout) {
    return syscall(SYS_futex, (uint32_t *)word, operation, value, timeout, NULL, 0);
}

void sgp_region_ring_doorbell(sgp_region_t *region) {
    sgp_region_control_t *control = region->control;
    /* Pairs with the fence in the sleeper: either we see that it sleeps, or it sees our change
     * before it sleeps. */
    atomic_thread_fence(memory_order_seq_cst);
    bool sleeping = atomic_load_explicit(&control->sleeping, memory_order_relaxed);
    bool watched = atomic_load_explicit(&control->watched, memory_order_relaxed);
    if (!sleeping && !watched) return;
    sleeping = sleeping && atomic_exchange(&control->sleeping, 0);
    watched = watched && atomic_exchange(&control->watched, 0);
    if (sleeping || watched) sgp_region_wake(region); /* else another thread woke them */
}

void sgp_region_wake(sgp_region_t *region) {
    atomic_fetch_add(&region->control->doorbell, 1);
    futex(&region->control->doorbell, FUTEX_WAKE, INT_MAX, NULL);
}

void sgp_region_sleep(sgp_region_t *region, uint32_t seen, uint64_t timeout_ns) {
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / SGP_SECOND),
                               .tv_nsec = (long)(timeout_ns % SGP_SECOND)};
    futex(&region->control->doorbell, FUTEX_WAIT, seen, &timeout);
}

void sgp_region_give_back(sgp_region_t *region, int rank, uint32_t slot, uint32_t record) {
    int part = sgp_region_part_of(slot);
    sgp_region_returns_t *returns = sgp_region_returns(region, part, rank);
    uint32_t tail = atomic_load_explicit(&returns->tail, memory_order_relaxed);
    returns->entries[tail % sgp_region_slots_of(part)] = (sgp_region_return_t){slot, record};
    atomic_store_explicit(&returns->tail, tail + 1, memory_order_release);
    sgp_region_control_t *control = region->control;
    uint32_t count = atomic_fetch_add(&control->given_back, 1) + 1;
    if (atomic_load(&control->wants_room) && (int32_t)(count - atomic_load(&control->wake_at)) >= 0)
        sgp_region_ring_doorbell(region);
}
