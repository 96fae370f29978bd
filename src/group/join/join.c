/* SPDX-License-Identifier: Apache-2.0 */
/* sgp_group_join: options and environment, the endpoints of all processes, and a transport between
 * them. */
#include "base/abi.h"
#include "base/constants.h"
#include "base/logging.h"
#include "group/agree_call.h"
#include "group/group_internal.h"
#include "group/group_status.h"
#include "group/join/connect.h"
#include "group/join/elastic_limits.h"
#include "group/join/join_mpi.h"
#include "group/join/join_running.h"
#include "group/join/origin.h"
#include "group/join/placement.h"
#include "group/join/secret.h"
#include "transport/shm/shm.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Options and environment together. Strings are borrowed. */
typedef struct plan {
    sgp_placement_t placement;
    sgp_transport_choice_t transport;
    const char *interface, *ports;
    bool keyed, insecure, elastic;
    sgp_encryption_t encryption;
    double quorum;
    uint64_t pause_ms;
    uint64_t capacity; /* as given; 0: the size */
    sgp_key_t key;
    int join_timeout_ms, timeout_ms, peer_timeout_ms;
    sgp_patience_t patience;
    sgp_deadline_t deadline;
} plan_t;

/* ---- the plan ---- */

static const char *either(const char *given, const char *name) {
    const char *text = given ? given : getenv(name);
    return text && *text ? text : NULL;
}

static sgp_status_t read_time(int given, const char *name, int usual, int *value) {
    const char *text = given ? NULL : either(NULL, name);
    char *end;
    *value = given ? given : usual;
    if (!text) return SGP_OK;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno || *end || number < 1 || number > INT_MAX)
        return sgp_fail(SGP_ERR_INVALID, "%s is \"%s\", must be milliseconds above 0", name, text);
    *value = (int)number;
    return SGP_OK;
}

static sgp_status_t read_transport(const char *name, sgp_transport_choice_t *choice) {
    for (int i = 0; i <= SGP_CHOICE_LAST; i++) {
        *choice = (sgp_transport_choice_t)i;
        if (!name || strcmp(name, sgp_transport_choice_name(*choice)) == 0) return SGP_OK;
    }
    return sgp_fail(SGP_ERR_INVALID, "transport %s: must be auto, shm, tcp or mpi", name);
}

static sgp_status_t check_options(const sgp_group_options_t *options) {
    if (options->timeout_ms < 0 || options->join_timeout_ms < 0 || options->peer_timeout_ms < 0)
        return sgp_fail(SGP_ERR_INVALID, "group: time limits of %d, %d and %d ms, must be above 0",
                        options->join_timeout_ms, options->timeout_ms, options->peer_timeout_ms);
    if (options->join && options->rendezvous)
        return sgp_fail(SGP_ERR_INVALID,
                        "group: join and rendezvous are two ways to meet: give one of them");
    if (options->suspect_ms > INT_MAX || options->stall_ms > INT_MAX || options->dead_ms > INT_MAX)
        return sgp_fail(SGP_ERR_INVALID,
                        "group: suspect_ms is %" PRIu64 ", stall_ms %" PRIu64 ", dead_ms %" PRIu64
                        ", must be at most %d",
                        options->suspect_ms, options->stall_ms, options->dead_ms, INT_MAX);
    if (options->elastic > 1)
        return sgp_fail(SGP_ERR_INVALID, "group: elastic is %" PRIu64 ", must be 0 or 1",
                        options->elastic);
    if (!(options->quorum <= 1) || options->pause_ms > INT_MAX)
        return sgp_fail(SGP_ERR_INVALID,
                        "group: a quorum of %g and a pause of %" PRIu64
                        " ms: must be at most 1, and below 2^31",
                        options->quorum, options->pause_ms);
    if (options->capacity > SGP_MOST_PROCESSES)
        return sgp_fail(SGP_ERR_INVALID, "group: a capacity of %" PRIu64 ", must be at most %d",
                        options->capacity, SGP_MOST_PROCESSES);
    return SGP_OK;
}

static bool has_private_channel(const plan_t *plan) {
    return plan->placement.launcher && plan->placement.launcher->private_channel;
}

static sgp_status_t make_plan(const sgp_group_options_t *options, plan_t *plan) {
    const char *insecure = either(NULL, "SGP_INSECURE");
    *plan = (plan_t){
        .interface = either(options->interface, "SGP_INTERFACE"),
        .ports = either(options->ports, "SGP_PORTS"),
        .insecure = options->insecure || (insecure && strcmp(insecure, "0") != 0),
        .elastic = options->elastic == 1,
        .capacity = options->capacity,
        .patience = {(int)options->suspect_ms, (int)options->stall_ms, (int)options->dead_ms},
        .timeout_ms = options->timeout_ms};
    sgp_status_t status = sgp_placement_find(options, &plan->placement);
    const sgp_launcher_t *launcher = plan->placement.launcher;
    int usual = launcher ? launcher->timeout_ms : SGP_LAUNCHER_TIMEOUT_MS;
    if (status == SGP_OK)
        status = read_transport(either(options->transport, "SGP_TRANSPORT"), &plan->transport);
    if (status == SGP_OK)
        status = read_time(options->join_timeout_ms, "SGP_JOIN_TIMEOUT_MS", usual,
                           &plan->join_timeout_ms);
    if (status == SGP_OK)
        status =
            read_time(options->peer_timeout_ms, "SGP_PEER_TIMEOUT_MS", 0, &plan->peer_timeout_ms);
    if (status == SGP_OK) status = sgp_secret_find(options, &plan->keyed, &plan->key);
    bool keyed = plan->keyed || has_private_channel(plan);
    if (status == SGP_OK) status = sgp_secret_encryption(options, keyed, &plan->encryption);
    plan->deadline = sgp_deadline_in(plan->join_timeout_ms);
    return status;
}

/* Local sockets do not work through a file system that machines share. */
static bool is_shared(const char *directory) {
    static const long shared[] = {NFS_SUPER_MAGIC,
                                  SMB_SUPER_MAGIC,
                                  0xff534d42l /* CIFS */,
                                  0xfe534d42l /* SMB 2 */,
                                  FUSE_SUPER_MAGIC,
                                  0x0bd00bd0l /* Lustre */,
                                  0x47504653l /* GPFS */,
                                  0x19830326l /* BeeGFS */,
                                  CEPH_SUPER_MAGIC,
                                  AFS_SUPER_MAGIC,
                                  V9FS_MAGIC};
    struct statfs about;
    if (statfs(directory, &about) != 0) return false;
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        if ((unsigned long)about.f_type == (unsigned long)shared[i]) return true;
    return false;
}

static int size_of(const plan_t *plan) {
    return plan->placement.size > 0 ? plan->placement.size : 1;
}

static bool takes_newcomers(const plan_t *plan) {
    return plan->capacity > (uint64_t)size_of(plan);
}

static sgp_status_t check_capacity(const plan_t *plan) {
    if (plan->capacity && plan->capacity < (uint64_t)size_of(plan))
        return sgp_fail(SGP_ERR_INVALID, "group: a capacity of %" PRIu64 " for %d nodes",
                        plan->capacity, size_of(plan));
    if (takes_newcomers(plan) && !plan->elastic)
        return sgp_fail(SGP_ERR_INVALID,
                        "group: nodes can join later only if the group is elastic");
    if (takes_newcomers(plan) && plan->transport == SGP_CHOICE_SHM)
        return sgp_fail(SGP_ERR_UNSUPPORTED, "group: nodes that join later are reached over tcp: "
                                             "the transport must be auto or tcp, not shm");
    return SGP_OK;
}

/* Whether all processes share memory for certain: such processes meet in the directory and need no
 * endpoints. */
static bool all_share_memory(const plan_t *plan) {
    const sgp_placement_t *placement = &plan->placement;
    if (takes_newcomers(plan)) return false;
    if (!placement->launcher) return true;
    if (placement->launcher != &sgp_launcher_directory) return false;
    if (placement->size <= 1 || plan->transport == SGP_CHOICE_SHM || !placement->rendezvous)
        return true;
    return plan->transport == SGP_CHOICE_AUTO && !is_shared(placement->rendezvous);
}

/* ---- joining ---- */

/* mine: NULL without endpoints. Takes the transport. */
static sgp_status_t make_group(const plan_t *plan, const sgp_endpoint_t *mine,
                               sgp_transport_t *transport, sgp_group_t **group) {
    sgp_origin_t from = {.transport = mine ? plan->transport : SGP_CHOICE_SHM,
                         .rendezvous = mine ? NULL : plan->placement.rendezvous,
                         .interface = plan->interface,
                         .ports = plan->ports,
                         .keyed = plan->keyed,
                         .key = plan->key,
                         .insecure = plan->insecure,
                         .encryption = plan->encryption,
                         .elastic = plan->elastic,
                         .quorum = plan->quorum,
                         .pause_ms = plan->pause_ms,
                         .join_timeout_ms = plan->join_timeout_ms,
                         .timeout_ms = plan->timeout_ms,
                         .peer_timeout_ms = plan->peer_timeout_ms,
                         .patience = plan->patience};
    sgp_origin_t *origin = NULL;
    sgp_group_t *made;
    if (mine) memcpy(from.address, mine->address, sizeof from.address);
    transport->elastic = plan->elastic;
    sgp_status_t status = sgp_origin_copy(&from, &origin);
    explicit_bzero(&from.key, sizeof from.key);
    if (status == SGP_OK) status = sgp_group_found(transport, plan->timeout_ms, &made);
    if (status != SGP_OK) {
        sgp_origin_destroy(origin);
        sgp_transport_destroy(transport);
        return status;
    }
    sgp_group_set_origin(made, origin);
    sgp_elastic_limits_set(origin, made);
    if (plan->placement.launcher == &sgp_launcher_directory) /* ranks are the launcher's */
        sgp_group_tell_losses(made, either(NULL, "SGP_LOSSES"));
    *group = made;
    return SGP_OK;
}

static sgp_status_t join_by_memory(const plan_t *plan, sgp_group_t **group) {
    sgp_transport_t *transport = NULL;
    sgp_shm_options_t options = {.rank = plan->placement.rank,
                                 .size = plan->placement.size,
                                 .rendezvous = plan->placement.rendezvous,
                                 .timeout_ms = plan->join_timeout_ms,
                                 .peer_timeout_ms = plan->peer_timeout_ms,
                                 .patience = plan->patience};
    sgp_status_t status = sgp_shm_connect(&options, &transport);
    return status == SGP_OK ? make_group(plan, NULL, transport, group) : status;
}

static sgp_status_t listen_first(const plan_t *plan, sgp_endpoint_t *mine, int *listener) {
    sgp_address_t bound, advertised;
    if (plan->transport == SGP_CHOICE_SHM) return SGP_OK;
    sgp_status_t status =
        sgp_address_listen(plan->interface, plan->ports, listener, &bound, &advertised);
    if (status == SGP_OK) sgp_address_text(&advertised, mine->address);
    return status;
}

/* Of a group of one, to which others come later. */
static sgp_status_t exchange_alone(const plan_t *plan, sgp_endpoint_t *mine, int *listener,
                                   sgp_endpoint_t **all) {
    mine->rank = 0;
    mine->size = 1;
    sgp_status_t status = listen_first(plan, mine, listener);
    if (status != SGP_OK) return status;
    *all = malloc(sizeof **all);
    if (!*all) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for an endpoint");
    **all = *mine;
    return SGP_OK;
}

static sgp_status_t exchange_endpoints(const plan_t *plan, sgp_endpoint_t *mine, int *listener,
                                       sgp_endpoint_t **all) {
    const sgp_launcher_t *launcher = plan->placement.launcher;
    sgp_exchange_t exchange = {.placement = &plan->placement,
                               .deadline = &plan->deadline,
                               .key = plan->keyed ? &plan->key : NULL,
                               .insecure = plan->insecure,
                               .encryption = plan->encryption,
                               .interface = plan->interface,
                               .ports = plan->ports};
    if (!launcher || (launcher == &sgp_launcher_directory && size_of(plan) == 1))
        return exchange_alone(plan, mine, listener, all);
    sgp_status_t status = launcher->private_channel ? listen_first(plan, mine, listener) : SGP_OK;
    return status == SGP_OK ? launcher->exchange(&exchange, mine, listener, all) : status;
}

/* The time that is left, or a little more: all processes have come. */
static int time_to_connect(const plan_t *plan) {
    enum { LEAST_MS = 10000 };
    int left = sgp_deadline_left_ms(&plan->deadline);
    return left > LEAST_MS ? left : LEAST_MS;
}

/* Takes the listener. */
static sgp_status_t connect_all(plan_t *plan, sgp_endpoint_t *all, int rank, int listener,
                                sgp_group_t **group) {
    sgp_transport_t *transport = NULL;
    sgp_connect_options_t options = {.endpoints = all,
                                     .rank = rank,
                                     .size = all[rank].size,
                                     .listener = listener,
                                     .answers = !has_private_channel(plan),
                                     .capacity = (int)plan->capacity,
                                     .key = plan->keyed ? &plan->key : NULL,
                                     .insecure = plan->insecure,
                                     .encryption = plan->encryption,
                                     .timeout_ms = time_to_connect(plan),
                                     .peer_timeout_ms = plan->peer_timeout_ms,
                                     .patience = plan->patience};
    sgp_status_t status = sgp_connect(&options, &transport);
    if (status != SGP_OK) return status;
    plan->keyed = sgp_connect_key(&options, &plan->key);
    return make_group(plan, &all[rank], transport, group);
}

static sgp_status_t join_by_endpoints(plan_t *plan, sgp_group_t **group) {
    const sgp_placement_t *placement = &plan->placement;
    sgp_endpoint_t mine, *all = NULL;
    int listener = -1;
    bool secret = has_private_channel(plan) && !takes_newcomers(plan); /* they would not know it */
    sgp_status_t status = sgp_endpoint_init(&mine, secret);
    if (status != SGP_OK) return status;
    mine.rank = placement->rank;
    mine.size = placement->size;
    mine.fingerprint = placement->fingerprint;
    mine.transport = plan->transport;
    status = exchange_endpoints(plan, &mine, &listener, &all);
    if (status != SGP_OK) {
        if (listener >= 0) close(listener);
        return status;
    }
    sgp_log_set_rank(mine.rank);
    status = connect_all(plan, all, mine.rank, listener, group);
    free(all);
    return status;
}

/* MPI knows which processes take part. */
static sgp_status_t join_by_mpi(const plan_t *plan, sgp_group_t **group) {
    const sgp_placement_t *placement = &plan->placement;
    if (plan->elastic)
        return sgp_fail(
            SGP_ERR_UNSUPPORTED,
            "group: elastic does not work with mpi, which ends the job with any of its processes");
    bool placed = placement->launcher && placement->rank >= 0;
    sgp_transport_t *transport = NULL;
    sgp_status_t status =
        sgp_join_mpi(placed ? placement->rank : 0, placed ? placement->size : 0, &transport);
    return status == SGP_OK ? make_group(plan, NULL, transport, group) : status;
}

/* The environment's own group is another one: only what this process says of itself counts. */
static sgp_status_t join_running(const sgp_group_options_t *options, sgp_group_t **group) {
    const char *insecure = either(NULL, "SGP_INSECURE");
    sgp_origin_t from = {
        .transport = SGP_CHOICE_TCP,
        .interface = either(options->interface, "SGP_INTERFACE"),
        .ports = either(options->ports, "SGP_PORTS"),
        .insecure = options->insecure || (insecure && strcmp(insecure, "0") != 0),
        .elastic = true,
        .quorum = options->quorum,
        .pause_ms = options->pause_ms,
        .timeout_ms = options->timeout_ms,
        .patience = {(int)options->suspect_ms, (int)options->stall_ms, (int)options->dead_ms}};
    if (options->join || options->rendezvous)
        return sgp_fail(SGP_ERR_INVALID, "group: contacts of a running group, and a place to "
                                         "found one: give one of them");
    sgp_status_t status = read_time(options->join_timeout_ms, "SGP_JOIN_TIMEOUT_MS",
                                    SGP_LAUNCHER_TIMEOUT_MS, &from.join_timeout_ms);
    if (status == SGP_OK) status = sgp_secret_find(options, &from.keyed, &from.key);
    if (status == SGP_OK) status = sgp_secret_encryption(options, from.keyed, &from.encryption);
    if (status == SGP_OK) status = sgp_join_running(options, &from, group);
    explicit_bzero(&from.key, sizeof from.key);
    return status;
}

static sgp_status_t join_founders(const sgp_group_options_t *options, sgp_group_t **group) {
    plan_t plan;
    sgp_status_t status = make_plan(options, &plan);
    if (status == SGP_OK) status = check_capacity(&plan);
    if (status == SGP_OK && plan.transport == SGP_CHOICE_MPI) status = join_by_mpi(&plan, group);
    else if (status == SGP_OK && all_share_memory(&plan)) status = join_by_memory(&plan, group);
    else if (status == SGP_OK) status = join_by_endpoints(&plan, group);
    explicit_bzero(&plan.key, sizeof plan.key);
    return status;
}

static sgp_status_t join_group(const sgp_group_options_t *options, sgp_group_t **group) {
    sgp_group_t *made;
    sgp_status_t status = check_options(options);
    if (status == SGP_OK)
        status = options->contacts ? join_running(options, &made) : join_founders(options, &made);
    if (status != SGP_OK) return status;
    sgp_log_set_rank(sgp_group_rank(made));
    status = sgp_group_status_attach(made, true);
    if (status == SGP_OK) *group = made;
    else sgp_group_abort(made);
    return status;
}

/* Of version 1.0. */
#define LEAST_OPTIONS (offsetof(sgp_group_options_t, log_level) + sizeof(sgp_log_level_t))

/* The sink is there before the group: threads that joining starts take it over. */
static sgp_status_t join_with_log(const sgp_group_options_t *options, sgp_group_t **group) {
    sgp_log_sink_t *sink = malloc(sizeof *sink);
    if (!sink) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a group's log");
    sgp_log_level_t level = options->log_level ? options->log_level : SGP_LOG_WARNING;
    *sink = (sgp_log_sink_t){options->log, options->log_user, level};
    const sgp_log_sink_t *before = sgp_log_use(sink);
    sgp_status_t status = join_group(options, group);
    sgp_log_use(before);
    if (status == SGP_OK) sgp_group_set_sink(*group, sink);
    else free(sink);
    return status;
}

sgp_status_t sgp_group_join_sized(const sgp_group_options_t *options, size_t size,
                                  sgp_group_t **group) {
    sgp_group_options_t ours;
    const sgp_log_sink_t *before = sgp_api_begin(NULL);
    sgp_status_t status =
        sgp_abi_read("group options", options, size, &ours, sizeof ours, LEAST_OPTIONS);
    if (status == SGP_OK)
        status = ours.log ? join_with_log(&ours, group) : join_group(&ours, group);
    return sgp_api_end(before, status);
}
