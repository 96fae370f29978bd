/* SPDX-License-Identifier: Apache-2.0 */
/* Not instrumented by sanitizers, as the dynamic linker calls malloc before they are ready. */
#include "failing_alloc.h"

#include "cmocka_all.h"
#include "replaced_malloc.h"

#include <dirent.h>
#include <execinfo.h>
#include <pthread.h>
#include <sgp/log.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* The leak sanitizer recognises the dynamic linker by the caller of malloc, which is this file here. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:ld-linux";
}

/* ---- what a round has allocated and not given back ---- */

enum { PLACES = 1 << 16 };

#define REMOVED ((void *)1)

typedef struct place {
    void *memory; /* NULL: never used since the round began */
    const void *caller;
} place_t;

static place_t places[PLACES];
static size_t live;
static atomic_flag lock = ATOMIC_FLAG_INIT;

static void take_lock(void) {
    while (atomic_flag_test_and_set_explicit(&lock, memory_order_acquire)) sched_yield();
}

static void leave_lock(void) {
    atomic_flag_clear_explicit(&lock, memory_order_release);
}

static size_t place_of(const void *memory) {
    return (size_t)(((uintptr_t)memory >> 4) * 0x9e3779b97f4a7c15u >> 48) % PLACES;
}

static void note(void *memory, const void *caller) {
    if (!memory) return;
    take_lock();
    size_t at = place_of(memory), tried = 0;
    while (places[at].memory && places[at].memory != REMOVED && ++tried < PLACES)
        at = (at + 1) % PLACES;
    places[at] = (place_t){memory, caller};
    live++;
    leave_lock();
}

static void forget(const void *memory) {
    take_lock();
    size_t at = place_of(memory), tried = 0;
    while (live && places[at].memory && places[at].memory != memory && ++tried < PLACES)
        at = (at + 1) % PLACES;
    if (live && places[at].memory == memory) {
        places[at].memory = REMOVED;
        live--;
    }
    leave_lock();
}

/* ---- whether an allocation fails ---- */

enum { FRAMES = 24 };

static atomic_bool on, everywhere;
static _Thread_local bool on_here;
static atomic_size_t allocations; /* of the process */
static atomic_size_t counted;     /* of the round */
static size_t fail_first, fail_last;
static atomic_bool has_failed;
static void *frames[FRAMES]; /* where the first one of the round failed */
static int frame_count;

static bool is_watched(void) {
    return atomic_load(&on) && (on_here || atomic_load(&everywhere));
}

static bool fails(const void *caller) {
    if (is_foreign(caller)) return false;
    atomic_fetch_add(&allocations, 1);
    if (!is_watched()) return false;
    size_t number = atomic_fetch_add(&counted, 1) + 1;
    if (number < fail_first || number > fail_last) return false;
    if (!atomic_exchange(&has_failed, true)) frame_count = backtrace(frames, FRAMES);
    errno = ENOMEM;
    return true;
}

static void *made(void *memory, const void *caller) {
    if (is_watched() && !is_foreign(caller)) note(memory, caller);
    return memory;
}

/* ---- in place of the C library's ---- */

/* Those of our own code, which the linker brings here (--wrap). */
void *__real_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset);
int __real_munmap(void *memory, size_t bytes);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument);
int __real_pthread_join(pthread_t thread, void **result);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset);
int __wrap_munmap(void *memory, size_t bytes);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument);
int __wrap_pthread_join(pthread_t thread, void **result);

void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset) {
    if (fails(CALLER)) return MAP_FAILED;
    void *memory = __real_mmap(at, bytes, protection, flags, file, offset);
    return memory == MAP_FAILED ? memory : made(memory, CALLER);
}

int __wrap_munmap(void *memory, size_t bytes) {
    forget(memory);
    return __real_munmap(memory, bytes);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument) {
    if (fails(CALLER)) return EAGAIN;
    int error = __real_pthread_create(thread, attributes, body, argument);
    if (!error) made((void *)*thread, CALLER);
    return error;
}

int __wrap_pthread_join(pthread_t thread, void **result) {
    forget((const void *)thread);
    int error = __real_pthread_join(thread, result);
    if (!error) return 0;
    fprintf(stderr, "a thread was joined that does not run\n");
    abort();
}

/* ---- rounds ---- */

/* The C library's translates the text, for which it allocates since version 2.37, and does without where it
 * cannot: no failure that a caller could see. */
char *strerror(int number) {
    const char *text = strerrordesc_np(number);
    return (char *)(text ? text : "unknown error");
}

size_t failing_allocations(void) {
    return atomic_load(&allocations);
}

static size_t count_files(void) {
    DIR *list = opendir("/proc/self/fd");
    size_t count = 0;
    assert_non_null(list);
    while (readdir(list)) count++;
    closedir(list);
    return count;
}

/* For addr2line, as the names of static functions are not there. */
void failing_say(void) {
    fprintf(stderr, "the allocation that failed (of %zu):\n", atomic_load(&counted));
    backtrace_symbols_fd(frames, frame_count, STDERR_FILENO);
}

static void check_nothing_left(const failing_t *failing) {
    size_t files = count_files();
    for (size_t i = 0; i < PLACES && live; i++) {
        if (!places[i].memory || places[i].memory == REMOVED) continue;
        fprintf(stderr, "not given back in round %zu, allocated by:\n", failing->round);
        void *caller = (void *)(uintptr_t)places[i].caller;
        backtrace_symbols_fd(&caller, 1, STDERR_FILENO);
    }
    if (!live && files == failing->files) return;
    failing_say();
    fail_msg("round %zu left %zu allocations and %zd open files", failing->round, live,
             (ssize_t)files - (ssize_t)failing->files);
}

static atomic_int errors; /* logged since the allocations fail */

static void count_error(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level, (void)rank, (void)line, (void)user;
    atomic_fetch_add(&errors, 1);
}

bool failing_round(failing_t *failing) {
    void *warm[1];
    backtrace(warm, 1); /* loads a library the first time */
    note_foreign();
    if (failing->round > 0) {
        if (failing->round > 1) check_nothing_left(failing);
        if (failing->round > 1 && !failing->failed) return false;
    }
    take_lock();
    memset(places, 0, sizeof places);
    live = 0;
    leave_lock();
    size_t stride = failing->stride ? failing->stride : 1;
    fail_first = failing->round == 0 ? SIZE_MAX : (failing->round - 1) / 2 * stride + 1;
    fail_last = failing->round % 2 ? fail_first : SIZE_MAX;
    atomic_store(&counted, 0);
    atomic_store(&has_failed, false);
    sgp_log_set(count_error, NULL, SGP_LOG_ERROR);
    failing->failed = false;
    failing->round++;
    failing->files = count_files();
    return true;
}

void failing_on(failing_t *failing) {
    atomic_store(&everywhere, failing->every_thread);
    atomic_store(&errors, 0);
    on_here = true;
    atomic_store(&on, true);
}

void failing_off(failing_t *failing) {
    atomic_store(&on, false);
    on_here = false;
    failing->failed = atomic_load(&has_failed);
}

bool failing_has_failed(const failing_t *failing) {
    return failing->failed || atomic_load(&has_failed);
}

sgp_status_t failing_check(failing_t *failing, sgp_status_t status) {
    failing_off(failing);
    sgp_status_t expected = failing->failed ? SGP_ERR_NO_MEMORY : SGP_OK;
    if (status != SGP_OK && !failing->unlogged && atomic_load(&errors) == 0) {
        failing_say();
        fail_msg("%s without a line in the log", sgp_status_name(status));
    }
    if (status == expected) return status;
    if (failing->failed && (status == SGP_OK ? failing->may_pass : status == failing->also))
        return status;
    failing_say();
    fail_msg("%s in place of %s in round %zu", sgp_status_name(status), sgp_status_name(expected),
             failing->round);
    return status;
}
