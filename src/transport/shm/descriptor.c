/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/shm/descriptor.h"

#include "base/constants.h"
#include "base/logging.h"
#include "base/thread.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LONGEST_NS (3600 * SGP_SECOND) /* of one sleep */

/* Lock held: until the caller has rearmed it. false: it ends. */
static bool await_rearm(sgp_descriptor_t *descriptor) {
    while (!descriptor->armed && !descriptor->ending)
        pthread_cond_wait(&descriptor->changed, &descriptor->lock);
    return !descriptor->ending;
}

/* Lock held; given up meanwhile. */
static void await_ring(sgp_descriptor_t *descriptor) {
    _Atomic uint32_t *doorbell = &descriptor->region->control->doorbell;
    uint32_t seen = descriptor->seen;
    pthread_mutex_unlock(&descriptor->lock);
    while (atomic_load(doorbell) == seen) sgp_region_sleep(descriptor->region, seen, LONGEST_NS);
    pthread_mutex_lock(&descriptor->lock);
}

static void *watch(void *argument) {
    sgp_descriptor_t *descriptor = argument;
    const uint64_t one = 1;
    pthread_mutex_lock(&descriptor->lock);
    while (await_rearm(descriptor)) {
        await_ring(descriptor);
        descriptor->armed = false;
        (void)!write(descriptor->file, &one, sizeof one); /* 0 before: it has room */
    }
    pthread_mutex_unlock(&descriptor->lock);
    return NULL;
}

static void free_all(sgp_descriptor_t *descriptor) {
    pthread_cond_destroy(&descriptor->changed);
    pthread_mutex_destroy(&descriptor->lock);
    close(descriptor->file);
    *descriptor = (sgp_descriptor_t){.open = false};
}

int sgp_descriptor_open(sgp_descriptor_t *descriptor, sgp_region_t *region) {
    if (descriptor->open) return descriptor->file;
    int file = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    if (file < 0) {
        sgp_fail(SGP_ERR_NO_MEMORY, "shm: eventfd: %s", strerror(errno));
        return -1;
    }
    *descriptor = (sgp_descriptor_t){.region = region, .file = file};
    pthread_mutex_init(&descriptor->lock, NULL);
    pthread_cond_init(&descriptor->changed, NULL);
    int error = sgp_thread_start(&descriptor->thread, watch, descriptor);
    descriptor->open = !error;
    if (!error) return file;
    free_all(descriptor);
    sgp_fail(SGP_ERR_NO_MEMORY, "shm: a thread cannot be started: %s", strerror(error));
    return -1;
}

/* The caller looks for what has arrived only afterwards, so it or the thread sees each ring. */
void sgp_descriptor_rearm(sgp_descriptor_t *descriptor) {
    uint64_t count;
    if (!descriptor->open) return;
    pthread_mutex_lock(&descriptor->lock);
    if (!descriptor->armed) {
        sgp_region_control_t *control = descriptor->region->control;
        (void)!read(descriptor->file, &count, sizeof count);
        descriptor->seen = atomic_load(&control->doorbell);
        atomic_store(&control->watched, 1);
        atomic_thread_fence(memory_order_seq_cst); /* pairs with sgp_region_ring_doorbell */
        descriptor->armed = true;
        pthread_cond_signal(&descriptor->changed);
    }
    pthread_mutex_unlock(&descriptor->lock);
}

void sgp_descriptor_fini(sgp_descriptor_t *descriptor) {
    if (!descriptor->open) return;
    pthread_mutex_lock(&descriptor->lock);
    descriptor->ending = true;
    pthread_cond_signal(&descriptor->changed);
    pthread_mutex_unlock(&descriptor->lock);
    sgp_region_wake(descriptor->region);
    pthread_join(descriptor->thread, NULL);
    free_all(descriptor);
}
