/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks as threads of a test, over the loopback, the shared-memory or the TCP transport. CHECK counts
 * failures, as cmocka's own assertions may not leave a thread that is not its own; run_groups
 * asserts at the end that there was none. */
#ifndef SGP_TESTS_RANKS_H
#define SGP_TESTS_RANKS_H

#include "cmocka_all.h"

#include "base/logging.h"
#include "group/group_internal.h"
#include "transport/loopback/loopback.h"
#include "transport/shm/shm.h"
#include "transport/tcp/tcp.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#ifdef __SANITIZE_THREAD__
/* libuv is not built for the thread sanitizer: it closes files where that does not see it, and so the
 * next file of the same number looks like a race. */
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) {
    return "called_from_lib:libuv.so";
}
#endif

static atomic_int ranks_failures;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            atomic_fetch_add(&ranks_failures, 1);                                                  \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);          \
        }                                                                                          \
    } while (0)

/* What the ranks run over. loopback.size is the number of ranks for all transports. */
typedef struct ranks_setup ranks_setup_t;
struct ranks_setup {
    /* Another way to run the body on all ranks: where each is a process, it runs that of its own. */
    void (*run)(const ranks_setup_t *setup, void (*body)(sgp_transport_t *transport, void *context),
                void *context);
    bool shm;
    bool tcp;
    int machines; /* tcp: rank r is on machine r % machines, within which memory is shared; 0: each rank
                     has one of its own */
    bool six;     /* tcp: over IPv6 */
    int peer_timeout_ms;  /* shm and tcp; 0: the default */
    const sgp_key_t *key; /* tcp; NULL: none */
    sgp_encryption_t encryption;
    sgp_loopback_options_t loopback;
};

enum { RANKS_MOST = 64 };

typedef struct ranks_thread {
    const ranks_setup_t *setup;
    sgp_loopback_t *hub;
    const char *directory;
    const sgp_address_t *addresses; /* (size) */
    const int *listeners;           /* (size) */
    int rank;
    void (*body)(sgp_transport_t *transport, void *context);
    void *context;
} ranks_thread_t;

static sgp_transport_t *ranks_connect_tcp(const ranks_thread_t *thread) {
    const ranks_setup_t *setup = thread->setup;
    bool local[RANKS_MOST];
    for (int r = 0; r < setup->loopback.size; r++)
        local[r] = setup->machines && r != thread->rank &&
                   r % setup->machines == thread->rank % setup->machines;
    sgp_tcp_options_t options = {.rank = thread->rank,
                                 .size = setup->loopback.size,
                                 .run = 17,
                                 .listener = thread->listeners[thread->rank],
                                 .addresses = thread->addresses,
                                 .key = setup->key,
                                 .encryption = setup->encryption,
                                 .local = local,
                                 .rendezvous = thread->directory,
                                 .chunk_bytes = setup->loopback.chunk_bytes,
                                 .timeout_ms = 60000,
                                 .peer_timeout_ms = setup->peer_timeout_ms};
    sgp_transport_t *transport = NULL;
    CHECK(sgp_tcp_connect(&options, &transport) == SGP_OK);
    return transport;
}

static sgp_transport_t *ranks_connect(const ranks_thread_t *thread) {
    if (thread->setup->tcp) return ranks_connect_tcp(thread);
    if (!thread->setup->shm) return sgp_loopback_transport(thread->hub, thread->rank);
    sgp_shm_options_t options = {.rank = thread->rank,
                                 .size = thread->setup->loopback.size,
                                 .rendezvous = thread->directory,
                                 .chunk_bytes = thread->setup->loopback.chunk_bytes,
                                 .timeout_ms = 60000,
                                 .peer_timeout_ms = thread->setup->peer_timeout_ms};
    sgp_transport_t *transport = NULL;
    CHECK(sgp_shm_connect(&options, &transport) == SGP_OK);
    return transport;
}

static void *ranks_main(void *argument) {
    ranks_thread_t *thread = argument;
    sgp_log_set_rank(thread->rank);
    sgp_transport_t *transport = ranks_connect(thread);
    if (transport) thread->body(transport, thread->context);
    return NULL;
}

/* Before the ranks start, as each has to know where all others listen. */
static inline void ranks_listen(const ranks_setup_t *setup, int *listeners,
                                sgp_address_t *addresses) {
    for (int r = 0; setup->tcp && r < setup->loopback.size; r++) {
        sgp_address_t bound;
        assert_int_equal(sgp_address_listen(setup->six ? "::1" : "127.0.0.1", NULL, &listeners[r],
                                            &bound, &addresses[r]),
                         SGP_OK);
    }
}

/* Runs body on every rank at once; body leaves and destroys its transport. */
static inline void run_transports(const ranks_setup_t *setup,
                                  void (*body)(sgp_transport_t *transport, void *context),
                                  void *context) {
    int size = setup->loopback.size;
    pthread_t threads[RANKS_MOST];
    ranks_thread_t arguments[RANKS_MOST];
    sgp_address_t addresses[RANKS_MOST];
    int listeners[RANKS_MOST];
    char directory[] = "/tmp/sgp-test-XXXXXX";
    sgp_loopback_t *hub = NULL;
    assert_in_range(size, 1, RANKS_MOST);
    atomic_store(&ranks_failures, 0);
    if (setup->run) {
        setup->run(setup, body, context);
        assert_int_equal(atomic_load(&ranks_failures), 0);
        return;
    }
    assert_non_null(mkdtemp(directory));
    ranks_listen(setup, listeners, addresses);
    if (!setup->shm && !setup->tcp)
        assert_int_equal(sgp_loopback_create(&setup->loopback, &hub), SGP_OK);
    for (int r = 0; r < size; r++) {
        arguments[r] = (ranks_thread_t){.setup = setup,
                                        .hub = hub,
                                        .directory = directory,
                                        .addresses = addresses,
                                        .listeners = listeners,
                                        .rank = r,
                                        .body = body,
                                        .context = context};
        assert_int_equal(pthread_create(&threads[r], NULL, ranks_main, &arguments[r]), 0);
    }
    for (int r = 0; r < size; r++) pthread_join(threads[r], NULL);
    sgp_loopback_destroy(hub);
    rmdir(directory);
    assert_int_equal(atomic_load(&ranks_failures), 0);
}

typedef struct ranks_body {
    void (*body)(sgp_group_t *group, void *context);
    void *context;
} ranks_body_t;

static inline void ranks_group_main(sgp_transport_t *transport, void *context) {
    ranks_body_t *body = context;
    sgp_group_t *group = NULL;
    CHECK(sgp_group_create(transport, 60000, &group) == SGP_OK);
    body->body(group, body->context);
    sgp_group_leave(group);
}

/* The same with a group on each rank, which is left at the end. */
static inline void run_groups(const ranks_setup_t *setup,
                              void (*body)(sgp_group_t *group, void *context), void *context) {
    ranks_body_t with = {body, context};
    run_transports(setup, ranks_group_main, &with);
}

/* A loopback address of this process alone, so that no other process takes a free port of it. */
static inline const char *ranks_own_host(void) {
    static char host[16];
    unsigned pid = (unsigned)getpid();
    snprintf(host, sizeof host, "127.%u.%u.%u", 1 + (pid >> 16) % 254, pid >> 8 & 255, pid & 255);
    return host;
}

/* An address to join at: that one, and a free port, which stays free for a while: not one of those that the system gives to
 * connections, and one that other tests hardly choose. */
static inline void ranks_free_address(char at[SGP_ADDRESS_TEXT]) {
    sgp_address_t bound, published;
    int listener;
    uint16_t chance;
    char ports[16];
    assert_int_equal(getrandom(&chance, sizeof chance, 0), sizeof chance);
    snprintf(ports, sizeof ports, "%d-%d", 10000 + chance % 20000, 10100 + chance % 20000);
    assert_int_equal(sgp_address_listen(ranks_own_host(), ports, &listener, &bound, &published),
                     SGP_OK);
    close(listener);
    sgp_address_text(&published, at);
}

/* The log lines of the test, for looking into: the last one of error level. Thread-safe. */
static pthread_mutex_t ranks_log_lock = PTHREAD_MUTEX_INITIALIZER;
static char ranks_last_error[1024];

static inline void ranks_keep_log(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)rank, (void)user;
    if (level > SGP_LOG_WARNING) return;
    pthread_mutex_lock(&ranks_log_lock);
    snprintf(ranks_last_error, sizeof ranks_last_error, "%s", line);
    pthread_mutex_unlock(&ranks_log_lock);
}

#endif
