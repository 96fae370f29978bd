/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/visitors.h"

#include "base/fork.h"

#include <string.h>

void sgp_visitors_init(sgp_visitors_t *visitors) {
    visitors->admitted = false;
    atomic_init(&visitors->count, 0);
    pthread_mutex_init(&visitors->lock, NULL);
}

static void dismiss(const sgp_visitor_t *visitor) {
    sgp_seals_t seals = visitor->seals;
    sgp_seals_destroy(&seals);
    sgp_fork_close(visitor->socket);
}

/* Lock held. */
static void send_away(sgp_visitors_t *visitors) {
    while (visitors->count > 0) dismiss(&visitors->waiting[--visitors->count]);
}

void sgp_visitors_fini(sgp_visitors_t *visitors) {
    send_away(visitors);
    pthread_mutex_destroy(&visitors->lock);
}

void sgp_visitors_admit(sgp_visitors_t *visitors, bool admits) {
    pthread_mutex_lock(&visitors->lock);
    visitors->admitted = admits;
    if (!admits) send_away(visitors);
    pthread_mutex_unlock(&visitors->lock);
}

bool sgp_visitors_are_admitted(sgp_visitors_t *visitors) {
    pthread_mutex_lock(&visitors->lock);
    bool admitted = visitors->admitted;
    pthread_mutex_unlock(&visitors->lock);
    return admitted;
}

bool sgp_visitors_are_many(const sgp_visitors_t *visitors) {
    return visitors->count >= SGP_MOST_VISITORS;
}

bool sgp_visitors_put(sgp_visitors_t *visitors, const sgp_visitor_t *visitor) {
    pthread_mutex_lock(&visitors->lock);
    bool taken = visitors->admitted && !sgp_visitors_are_many(visitors);
    if (taken) visitors->waiting[visitors->count++] = *visitor;
    pthread_mutex_unlock(&visitors->lock);
    if (!taken) dismiss(visitor);
    return taken;
}

bool sgp_visitors_take(sgp_visitors_t *visitors, sgp_visitor_t *visitor) {
    if (!atomic_load_explicit(&visitors->count, memory_order_relaxed)) return false;
    pthread_mutex_lock(&visitors->lock);
    bool found = visitors->count > 0;
    if (found) {
        *visitor = visitors->waiting[0];
        visitors->count--;
        memmove(visitors->waiting, visitors->waiting + 1,
                (size_t)visitors->count * sizeof *visitor);
    }
    pthread_mutex_unlock(&visitors->lock);
    return found;
}
