/* SPDX-License-Identifier: Apache-2.0 */
#include "status/server/digest.h"

#include <math.h>
#include <stdlib.h>

double digest_work(const sgp_status_member_t *member) {
    if (!isfinite(member->update_ms)) return member->compute_ms;
    return member->compute_ms + member->update_ms;
}

static double wait_of(const sgp_status_member_t *member) {
    return member->wait_ms;
}

static int compare_numbers(const void *a, const void *b) {
    double one = *(const double *)a, other = *(const double *)b;
    return (one > other) - (one < other);
}

/* Of an even number the lower one, so that one of two members can be slow. NAN: nobody has one. */
static double median(const sgp_status_snapshot_t *snapshot,
                     double (*number)(const sgp_status_member_t *), double *room /* (members) */) {
    size_t count = 0;
    for (size_t i = 0; i < snapshot->members; i++) {
        double value = number(&snapshot->member[i]);
        if (snapshot->member[i].condition == SGP_STATUS_LIVE && isfinite(value))
            room[count++] = value;
    }
    if (count == 0) return NAN;
    qsort(room, count, sizeof *room, compare_numbers);
    return room[(count - 1) / 2];
}

static bool is_slow(const digest_t *digest, const sgp_status_member_t *member) {
    double work = digest_work(member);
    if (member->condition != SGP_STATUS_LIVE && member->condition != SGP_STATUS_SILENT)
        return false;
    if (!isfinite(work) || !(digest->work_ms > 0) || work < DIGEST_SLOW * digest->work_ms)
        return false;
    return !(member->wait_ms > digest->wait_ms);
}

/* ---- sums and means over the live members ---- */

typedef struct mean {
    double sum;
    size_t count;
} mean_t;

static void add(mean_t *mean, double value) {
    if (!isfinite(value)) return;
    mean->sum += value;
    mean->count++;
}

static void sum_up(const sgp_status_snapshot_t *snapshot, digest_t *digest) {
    mean_t loss = {0}, accuracy = {0}, samples = {0};
    for (size_t i = 0; i < snapshot->members; i++) {
        const sgp_status_member_t *member = &snapshot->member[i];
        if (member->condition != SGP_STATUS_LIVE) continue;
        if (digest->live == 0 || member->step < digest->step_min) digest->step_min = member->step;
        if (member->step > digest->step) digest->step = member->step;
        if (member->epoch > digest->epoch) digest->epoch = member->epoch;
        digest->live++;
        add(&samples, member->samples_per_second);
        add(&loss, member->loss);
        add(&accuracy, member->accuracy);
    }
    digest->samples_per_second = samples.count ? samples.sum : NAN;
    digest->loss = loss.count ? loss.sum / (double)loss.count : NAN;
    digest->accuracy = accuracy.count ? accuracy.sum / (double)accuracy.count : NAN;
}

/* ---- order ---- */

enum { RANKS = 6, FIRST_HEALTHY = 4 };

static int rank_of(const sgp_status_member_t *member, bool slow) {
    switch (member->condition) {
    case SGP_STATUS_GONE:
        return 0;
    case SGP_STATUS_SILENT:
        return 1;
    case SGP_STATUS_JOINING:
        return 3;
    case SGP_STATUS_LEFT:
        return 5;
    case SGP_STATUS_LIVE:
        break;
    }
    return slow ? 2 : 4;
}

static void put_in_order(const sgp_status_snapshot_t *snapshot, digest_t *digest) {
    size_t placed = 0;
    for (int rank = 0; rank < RANKS; rank++) {
        if (rank == FIRST_HEALTHY) digest->troubled = placed;
        for (size_t i = 0; i < snapshot->members; i++)
            if (rank_of(&snapshot->member[i], digest->slow[i]) == rank) digest->order[placed++] = i;
    }
}

sgp_status_t digest_make(const sgp_status_snapshot_t *snapshot, digest_t *digest) {
    size_t members = snapshot->members;
    double *room = malloc((members + 1) * sizeof *room);
    digest_t made = {.order = malloc((members + 1) * sizeof *made.order),
                     .slow = calloc(members + 1, sizeof *made.slow)};
    if (!room || !made.order || !made.slow) {
        free(room);
        digest_free(&made);
        return SGP_ERR_NO_MEMORY;
    }
    made.work_ms = median(snapshot, digest_work, room);
    made.wait_ms = median(snapshot, wait_of, room);
    free(room);
    for (size_t i = 0; i < members; i++) made.slow[i] = is_slow(&made, &snapshot->member[i]);
    sum_up(snapshot, &made);
    put_in_order(snapshot, &made);
    *digest = made;
    return SGP_OK;
}

void digest_free(digest_t *digest) {
    free(digest->order);
    free(digest->slow);
    *digest = (digest_t){0};
}
