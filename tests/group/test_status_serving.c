/* SPDX-License-Identifier: Apache-2.0 */
/* Which node serves the page: the lowest one of the machine, and the next one when it has ended; with a server of this test's own
 * in place of the module. */
#include "ranks.h"

#include "group/group_status.h"
#include "status/snapshot.h"
#include "transport/module.h"

#include <dlfcn.h>
#include <string.h>

enum { NODES = 3 };

/* The linker puts it in place of sgp_module_open: the module is this program. */
void *__wrap_sgp_module_open(const char *name, const char **why);

static atomic_bool missing; /* the module */
void *__wrap_sgp_module_open(const char *name, const char **why) {
    CHECK(strcmp(name, "status") == 0);
    *why = NULL;
    return atomic_load(&missing) ? NULL : dlopen(NULL, RTLD_NOW);
}

/* ---- the server ---- */

struct sgp_status_server {
    int node;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int starts[NODES], stops[NODES]; /* by node */
static atomic_int running = -1;         /* a node */
static int failures;                    /* starts that are still to fail */
static sgp_status_t failure;
static char seen_address[64], seen_token[64];
static bool seen_insecure;

__attribute__((visibility("default"))) sgp_status_server_start_t sgp_status_server_start;
__attribute__((visibility("default"))) sgp_status_server_stop_t sgp_status_server_stop;

/* What nodes wait for has changed, perhaps. Nothing else is locked while this is. */
static pthread_mutex_t news_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news = PTHREAD_COND_INITIALIZER;

static void tell(void) {
    pthread_mutex_lock(&news_lock);
    pthread_cond_broadcast(&news);
    pthread_mutex_unlock(&news_lock);
}

static void wait_until(bool (*holds)(int rank), int rank) {
    pthread_mutex_lock(&news_lock);
    while (!holds(rank)) pthread_cond_wait(&news, &news_lock);
    pthread_mutex_unlock(&news_lock);
}

/* Whose source it is, by the snapshot. */
static int node_of(const sgp_status_source_t *source) {
    sgp_status_snapshot_t snapshot = {.members = 0};
    CHECK(source->take(source->context, &snapshot) == SGP_OK);
    CHECK(snapshot.members == NODES && strcmp(snapshot.run, "a run") == 0);
    int self = snapshot.self;
    source->release(source->context, &snapshot);
    return self;
}

sgp_status_t sgp_status_server_start(const sgp_status_server_options_t *options,
                                     const sgp_status_source_t *source, int *port,
                                     sgp_status_server_t **server) {
    int node = node_of(source);
    sgp_status_t status = SGP_OK;
    pthread_mutex_lock(&lock);
    starts[node]++;
    snprintf(seen_address, sizeof seen_address, "%s", options->address);
    snprintf(seen_token, sizeof seen_token, "%s", options->token_file ? options->token_file : "");
    seen_insecure = options->insecure;
    CHECK(atomic_load(&running) < 0);
    if (failures > 0) {
        failures--;
        status = failure;
        if (options->log) options->log(SGP_LOG_ERROR, -1, "it cannot", options->log_user);
    } else {
        atomic_store(&running, node);
        *port = 4321;
        *server = calloc(1, sizeof **server);
        (*server)->node = node;
    }
    pthread_mutex_unlock(&lock);
    tell();
    return status;
}

void sgp_status_server_stop(sgp_status_server_t *server) {
    pthread_mutex_lock(&lock);
    CHECK(atomic_load(&running) == server->node);
    atomic_store(&running, -1);
    stops[server->node]++;
    pthread_mutex_unlock(&lock);
    free(server);
}

/* ---- nodes ---- */

static atomic_int left; /* of them, in order of rank */
static atomic_int lines;

static void count_lines(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)rank, (void)user;
    if (level == SGP_LOG_ERROR && strstr(line, "it cannot")) atomic_fetch_add(&lines, 1);
    if (level == SGP_LOG_ERROR && strstr(line, "libsgp-status.so") && strstr(line, "libsgp has it"))
        atomic_fetch_add(&lines, 1);
    tell();
}

static sgp_group_t *join(sgp_transport_t *transport) {
    sgp_group_t *group = NULL;
    CHECK(sgp_group_create(transport, 60000, &group) == SGP_OK);
    CHECK(sgp_group_status_attach(group, true) == SGP_OK);
    return group;
}

static bool has_its_turn(int rank) {
    return atomic_load(&left) >= rank && atomic_load(&running) == rank;
}

/* Each leaves once it has served, the lowest first. */
static void take_over(sgp_transport_t *transport, void *context) {
    (void)context;
    sgp_group_t *group = join(transport);
    int rank = sgp_group_rank(group);
    wait_until(has_its_turn, rank);
    if (rank % 2) sgp_group_abort(group);
    else sgp_group_leave(group);
    CHECK(atomic_load(&running) != rank);
    atomic_fetch_add(&left, 1);
    tell();
}

static void begin(void) {
    memset(starts, 0, sizeof starts);
    memset(stops, 0, sizeof stops);
    atomic_store(&left, 0);
    atomic_store(&lines, 0);
    setenv("SGP_STATUS", "127.0.0.1:4321", 1);
    setenv("SGP_STATUS_TOKEN_FILE", "/a/token", 1);
    setenv("SGP_STATUS_INSECURE", "1", 1);
    setenv("SGP_STATUS_NAME", "a run", 1);
    sgp_log_set(count_lines, NULL, SGP_LOG_ERROR);
}

static void test_take_over(void **state) {
    (void)state;
    ranks_setup_t setup = {.shm = true, .loopback.size = NODES};
    begin();
    run_transports(&setup, take_over, NULL);
    for (int r = 0; r < NODES; r++) assert_true(starts[r] == 1 && stops[r] == 1);
    assert_string_equal(seen_address, "127.0.0.1:4321");
    assert_string_equal(seen_token, "/a/token");
    assert_true(seen_insecure);
}

/* A port that is taken at the start is one line, and is tried again. */
static void test_port_taken(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback.size = NODES};
    begin();
    failures = 2;
    failure = SGP_ERR_SYSTEM;
    run_transports(&setup, take_over, NULL);
    assert_int_equal(starts[0], 3);
    assert_int_equal(atomic_load(&lines), 1);
}

/* ---- what no other try can change ---- */

static bool has_a_line(int rank) {
    (void)rank;
    return atomic_load(&lines) > 0;
}

static void wait_for_a_line(sgp_transport_t *transport, void *context) {
    (void)context;
    sgp_group_t *group = join(transport);
    wait_until(has_a_line, 0);
    CHECK(sgp_group_barrier(group) == SGP_OK);
    sgp_group_leave(group);
}

static void test_wrong_options(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback.size = NODES};
    begin();
    failures = 100;
    failure = SGP_ERR_INVALID;
    run_transports(&setup, wait_for_a_line, NULL);
    failures = 0;
    assert_int_equal(starts[0], 1);
}

static void test_no_module(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback.size = NODES};
    begin();
    atomic_store(&missing, true);
    run_transports(&setup, wait_for_a_line, NULL);
    atomic_store(&missing, false);
    assert_int_equal(starts[0], 0);
}

static void test_off(void **state) {
    (void)state;
    sgp_loopback_t *hub = NULL;
    begin();
    setenv("SGP_STATUS", "", 1);
    assert_int_equal(sgp_loopback_create(&(sgp_loopback_options_t){.size = 1}, &hub), SGP_OK);
    sgp_group_t *group = join(sgp_loopback_transport(hub, 0));
    assert_false(sgp_status_is_on(sgp_group_status(group)));
    sgp_group_leave(group);
    sgp_loopback_destroy(hub);
    assert_int_equal(starts[0], 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_take_over),     cmocka_unit_test(test_port_taken),
        cmocka_unit_test(test_wrong_options), cmocka_unit_test(test_no_module),
        cmocka_unit_test(test_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
