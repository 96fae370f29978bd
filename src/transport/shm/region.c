/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/shm/region.h"

#include "base/log.h"

#include <errno.h>
#include <linux/futex.h>
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

/* Sets the pointers into memory and returns the bytes of a whole region; memory may be NULL. */
static size_t lay_out(int size, size_t chunk_bytes, unsigned char *memory, sgp_region_t *region) {
    size_t rings = page_up(sizeof(sgp_region_control_t));
    size_t slots = rings + page_up((size_t)size * sizeof(sgp_region_ring_t));
    size_t payloads = slots + page_up(SGP_REGION_SLOTS * sizeof(sgp_region_slot_t));
    payloads = (payloads + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    if (memory) {
        region->control = (sgp_region_control_t *)memory;
        region->rings = (sgp_region_ring_t *)(memory + rings);
        region->slots = (sgp_region_slot_t *)(memory + slots);
        region->payloads = memory + payloads;
        region->chunk_bytes = chunk_bytes;
    }
    return payloads + SGP_REGION_SLOTS * chunk_bytes;
}

sgp_status_t sgp_region_map(int file, int size, size_t chunk_bytes, sgp_region_t *region) {
    size_t bytes = lay_out(size, chunk_bytes, NULL, NULL);
    struct stat found;
    if (fstat(file, &found) != 0 || (uint64_t)found.st_size != bytes)
        return sgp_fail(SGP_ERR_MISMATCH,
                        "shm: a region of %lld bytes where %zu were expected: another version?",
                        (long long)found.st_size, bytes);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
    if (memory == MAP_FAILED)
        return sgp_fail(errno == ENOMEM ? SGP_ERR_NO_MEMORY : SGP_ERR_SYSTEM,
                        "shm: cannot map %zu bytes of address space: %s", bytes, strerror(errno));
    /* A hint: where the system gives huge pages to shared memory, passes over it miss the TLB less.
     */
    madvise(memory, bytes, MADV_HUGEPAGE);
    *region = (sgp_region_t){.file = file, .memory = memory, .bytes = bytes};
    lay_out(size, chunk_bytes, memory, region);
    return SGP_OK;
}

sgp_status_t sgp_region_create(int size, size_t chunk_bytes, sgp_region_t *region) {
    int file = memfd_create("sgp", MFD_CLOEXEC);
    if (file < 0) return sgp_fail(SGP_ERR_SYSTEM, "shm: memfd_create: %s", strerror(errno));
    size_t bytes = lay_out(size, chunk_bytes, NULL, NULL);
    if (ftruncate(file, (off_t)bytes) != 0) {
        sgp_fail(SGP_ERR_SYSTEM, "shm: cannot size a region to %zu bytes: %s", bytes,
                 strerror(errno));
        close(file);
        return SGP_ERR_SYSTEM;
    }
    sgp_status_t status = sgp_region_map(file, size, chunk_bytes, region);
    if (status != SGP_OK) {
        close(file);
        return status;
    }
    atomic_store(&region->control->returned, SGP_NO_SLOT);
    return SGP_OK;
}

void sgp_region_unmap(sgp_region_t *region) {
    if (!region->memory) return;
    munmap(region->memory, region->bytes);
    if (region->file >= 0) close(region->file);
    *region = (sgp_region_t){.file = -1};
}

static long futex(_Atomic uint32_t *word, int operation, uint32_t value,
                  const struct timespec *timeout) {
    return syscall(SYS_futex, (uint32_t *)word, operation, value, timeout, NULL, 0);
}

void sgp_region_ring_doorbell(sgp_region_t *region) {
    /* Pairs with the fence in the sleeper: either we see that it sleeps, or it sees our change
     * before it does. */
    atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load_explicit(&region->control->sleeping, memory_order_relaxed)) return;
    if (!atomic_exchange(&region->control->sleeping, 0)) return; /* another one woke it */
    atomic_fetch_add(&region->control->doorbell, 1);
    futex(&region->control->doorbell, FUTEX_WAKE, 1, NULL);
}

void sgp_region_sleep(sgp_region_t *region, uint32_t seen, uint64_t timeout_ns) {
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000u),
                               .tv_nsec = (long)(timeout_ns % 1000000000u)};
    futex(&region->control->doorbell, FUTEX_WAIT, seen, &timeout);
}

void sgp_region_drop(sgp_region_t *region, uint32_t slot) {
    sgp_region_slot_t *head = &region->slots[slot];
    if (atomic_fetch_sub_explicit(&head->references, 1, memory_order_acq_rel) != 1) return;
    sgp_region_control_t *control = region->control;
    uint32_t top = atomic_load_explicit(&control->returned, memory_order_relaxed);
    do head->next = top;
    while (!atomic_compare_exchange_weak_explicit(&control->returned, &top, slot,
                                                  memory_order_release, memory_order_relaxed));
    uint32_t count = atomic_fetch_add(&control->given_back, 1) + 1;
    if (atomic_load(&control->wants_room) && (int32_t)(count - atomic_load(&control->wake_at)) >= 0)
        sgp_region_ring_doorbell(region);
}
