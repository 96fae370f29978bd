/* SPDX-License-Identifier: Apache-2.0 */
#include "group/group_status.h"

#include "base/clock.h"
#include "base/log_ring.h"
#include "base/logging.h"
#include "group/join/origin.h"
#include "group/status_gossip.h"
#include "group/status_look.h"
#include "group/status_serving.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

/* ---- making ---- */

static void read_host(char host[SGP_STATUS_ROW_HOST]) {
    char name[256] = "";
    if (gethostname(name, sizeof name - 1) != 0) return;
    size_t length = strnlen(name, SGP_STATUS_ROW_HOST - 1);
    memcpy(host, name, length);
}

static void in_child(void *context) {
    sgp_group_status_t *status = context;
    atomic_store(&status->child, true);
    atomic_store(&status->on, false);
}

static void stop(sgp_group_status_t *status) {
    sgp_fork_remove_hook(&status->hook);
    if (status->end_serving) status->end_serving(status->serving);
    status->end_serving = NULL;
    if (status->whole && !atomic_load(&status->child)) {
        pthread_mutex_lock(&status->whole->handing);
        atomic_store(&status->whole->to, NULL);
        pthread_mutex_unlock(&status->whole->handing);
        status->whole = NULL;
    }
    atomic_store(&status->on, false);
    sgp_inbox_set_service(status->inbox, SGP_KIND_STATUS, NULL, NULL);
}

static void destroy(sgp_group_status_t *status) {
    sgp_post_fini(&status->post);
    sgp_status_rows_fini(&status->rows);
    if (status->wants) sgp_log_ring_release();
    pthread_mutex_destroy(&status->lock);
    pthread_mutex_destroy(&status->handing);
    free(status->mixing.seats);
    free(status->seats);
    free(status->peers);
    free(status->inflows);
    free(status->members);
    free(status->edges);
    free(status->loss);
    free(status->accuracy);
    free(status);
}

static const sgp_group_status_ops_t status_ops = {.stop = stop, .destroy = destroy};

/* Runs of nodes that meet in a directory have the same number there. */
static uint64_t run_of(sgp_group_t *group) {
    const sgp_origin_t *origin = sgp_group_origin(group);
    const char *place = origin && origin->rendezvous ? origin->rendezvous : "";
    return sgp_group_transport(group)->run ^ XXH3_64bits(place, strlen(place));
}

static sgp_group_status_t *make(sgp_group_t *group) {
    sgp_group_status_t *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    made->group = group;
    made->transport = sgp_group_transport(group);
    made->inbox = sgp_group_inbox(group);
    made->capacity = made->transport->capacity;
    made->self = made->transport->rank;
    made->last_peer = made->self;
    made->run = run_of(group);
    made->start = sgp_transport_now(made->transport);
    made->began = sgp_clock_now();
    made->distance = NAN;
    made->mixing.place = -1;
    for (int i = 0; i < SGP_REPORTS; i++) sgp_status_number_set(&made->reports[i], NAN);
    pthread_mutex_init(&made->lock, NULL);
    pthread_mutex_init(&made->handing, NULL);
    read_host(made->host);
    const char *name = getenv("SGP_STATUS_NAME");
    snprintf(made->name, sizeof made->name, "%s", name ? name : "");
    return made;
}

sgp_status_t sgp_group_status_attach(sgp_group_t *group, bool serves) {
    sgp_group_status_t *made = make(group);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the status of a group");
    sgp_group_set_status(group, made, &status_ops);
    sgp_fork_add_hook(&made->hook, in_child, made);
    sgp_inbox_set_service(made->inbox, SGP_KIND_STATUS, sgp_status_serve, made);
    const char *address = serves ? getenv("SGP_STATUS") : NULL;
    if (!address || !*address) return SGP_OK;
    sgp_status_t status = sgp_group_status_want(made);
    return status == SGP_OK ? sgp_status_serving_start(made, address) : status;
}

static sgp_status_t make_curves(sgp_group_status_t *status) {
    if (!status->loss) status->loss = calloc(1, sizeof *status->loss);
    if (!status->accuracy) status->accuracy = calloc(1, sizeof *status->accuracy);
    return status->loss && status->accuracy
               ? SGP_OK
               : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the curves of a run");
}

sgp_status_t sgp_group_status_want(sgp_group_status_t *status) {
    if (status->wants) return SGP_OK;
    sgp_status_t result = make_curves(status);
    if (result == SGP_OK) result = sgp_status_switch_on(status);
    if (result != SGP_OK) return result;
    sgp_log_ring_hold();
    status->wants = true;
    atomic_store(&status->asks, true);
    pthread_mutex_lock(&status->lock);
    sgp_status_look_around(status, sgp_transport_now(status->transport));
    pthread_mutex_unlock(&status->lock);
    sgp_inbox_call_service(status->inbox, SGP_KIND_STATUS);
    return SGP_OK;
}

sgp_status_t sgp_group_status_hand_over(sgp_group_t *whole, sgp_group_t *part) {
    sgp_group_status_t *from = sgp_group_status(whole), *to = sgp_group_status(part);
    if (!from || !to) return SGP_OK;
    sgp_status_t status = from->wants ? sgp_group_status_want(to) : SGP_OK;
    if (status != SGP_OK) return status;
    pthread_mutex_lock(&from->handing);
    to->whole = from;
    to->start = from->start;
    atomic_store(&to->asks, atomic_load(&from->asks));
    atomic_store(&from->to, to);
    pthread_mutex_unlock(&from->handing);
    return SGP_OK;
}

/* ---- the mixing ---- */

bool sgp_status_is_on(const sgp_group_status_t *status) {
    return status && atomic_load_explicit(&status->on, memory_order_relaxed);
}

static bool claim(sgp_group_status_t *status, const void *mixer) {
    const void *none = NULL;
    return atomic_load(&status->mixer) == mixer ||
           atomic_compare_exchange_strong(&status->mixer, &none, mixer);
}

sgp_status_mixing_t *sgp_status_open(sgp_group_status_t *status, const void *mixer, bool waits) {
    if (!sgp_status_is_on(status) || !claim(status, mixer)) return NULL;
    if (waits) pthread_mutex_lock(&status->lock);
    else if (pthread_mutex_trylock(&status->lock) != 0) return NULL;
    return &status->mixing;
}

void sgp_status_close(sgp_group_status_t *status) {
    pthread_mutex_unlock(&status->lock);
}

void sgp_status_give_up(sgp_group_status_t *status, const void *mixer) {
    if (!status) return;
    const void *own = mixer;
    atomic_compare_exchange_strong(&status->mixer, &own, NULL);
}

void sgp_status_note_distance(sgp_group_status_t *status, double distance, uint64_t step) {
    if (!sgp_status_is_on(status)) return;
    pthread_mutex_lock(&status->lock);
    status->distance = distance;
    status->distance_step = step;
    pthread_mutex_unlock(&status->lock);
}

/* ---- reports ---- */

typedef struct report {
    const char *name;
    double least, most;
} report_t;

static const report_t reports[SGP_REPORTS] = {
#define REPORT(identifier, name, least, most) {name, least, most},
    SGP_STATUS_REPORT_MAP(REPORT)
#undef REPORT
};

static int find(const char *name) {
    int i = 0;
    while (i < SGP_REPORTS && strcmp(name, reports[i].name) != 0) i++;
    return i;
}

static sgp_status_t refuse_name(const char *name) {
    char names[128] = "";
    for (int i = 0; i < SGP_REPORTS; i++) {
        size_t used = strlen(names);
        const char *between = i == 0 ? "" : i == SGP_REPORTS - 1 ? " or " : ", ";
        snprintf(names + used, sizeof names - used, "%s%s", between, reports[i].name);
    }
    return sgp_fail(SGP_ERR_INVALID, "report: \"%s\" is no number of a run, must be %s", name,
                    names);
}

static sgp_status_t report(sgp_group_status_t *status, const char *name, double value) {
    int number = name ? find(name) : SGP_REPORTS;
    if (number == SGP_REPORTS) return refuse_name(name ? name : "(null)");
    if (value < reports[number].least || value > reports[number].most)
        return sgp_fail(SGP_ERR_INVALID, "report: %s is %g, must be %g to %g", name, value,
                        reports[number].least, reports[number].most);
    if (!status) return SGP_OK; /* a group that no status is made of, such as a node's workers */
    sgp_group_status_t *part = atomic_load(&status->to);
    if (part) status = part;
    sgp_status_number_set(&status->reports[number], value);
    if (number == SGP_REPORT_SAMPLES)
        atomic_store(&status->samples_time, sgp_transport_now(status->transport));
    return SGP_OK;
}

sgp_status_t sgp_group_report(sgp_group_t *group, const char *name, double value) {
    const sgp_log_sink_t *before = sgp_api_begin(sgp_group_sink(group));
    return sgp_api_end(before, report(sgp_group_status(group), name, value));
}
