/* SPDX-License-Identifier: Apache-2.0 */
#include "synthetic.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void *make(size_t count, size_t size) {
    void *made = calloc(count + 1, size);
    if (!made) abort();
    return made;
}

static void make_member(sgp_status_member_t *member, int seat) {
    double at = seat;
    *member = (sgp_status_member_t){.seat = seat,
                                    .condition = SGP_STATUS_LIVE,
                                    .step = 1200 + (uint64_t)seat % 3,
                                    .epoch = 3,
                                    .age = 0.25 + at / 1024,
                                    .samples_per_second = 1000.5 + at,
                                    .step_ms = 120.25 + at / 64,
                                    .compute_ms = 80.5 + at / 64,
                                    .update_ms = 7.75,
                                    .wait_ms = 32,
                                    .weight = 1 + at / 4096,
                                    .loss = 0.5 + at / 1000,
                                    .accuracy = 0.75 + at / 8192,
                                    .bytes_sent = 1.1e9 + 1000 * at,
                                    .bytes_received = 1.2e9 + 1000 * at,
                                    .sent = 20000 + (uint64_t)seat,
                                    .received = 30000 + (uint64_t)seat,
                                    .memory = 400000000 + 1000 * (uint64_t)seat};
    snprintf(member->host, sizeof member->host, "host-%02d", seat / 8);
}

/* Each sends to those at distances 1, 2, 4, ...; the present step is that of the first. */
static void make_edges(sgp_status_snapshot_t *snapshot) {
    size_t most = 0, members = snapshot->members;
    for (size_t distance = 1; distance < members; distance *= 2) most += members;
    snapshot->edge = make(most, sizeof *snapshot->edge);
    for (size_t distance = 1; distance < members; distance *= 2)
        for (size_t i = 0; i < members; i++, snapshot->edges++)
            snapshot->edge[snapshot->edges] =
                (sgp_status_edge_t){.src = (int)i,
                                    .dst = (int)((i + distance) % members),
                                    .in_step = distance == (members > 16 ? 8 : 1),
                                    .bytes_per_second = 9e6 + 1000 * (double)snapshot->edges,
                                    .age = 0.125 + (double)snapshot->edges / 4096};
}

static void make_curves(sgp_status_snapshot_t *snapshot) {
    for (int i = 0; i < 120; i++, snapshot->loss.count++)
        snapshot->loss.point[i] = (sgp_status_point_t){
            3.0 * i, 10.0 * i, 0.5 + 1.8 * exp(-i / 25.0) + 0.03 * sin(i * 2.3)};
    for (int i = 0; i < 12; i++, snapshot->accuracy.count++)
        snapshot->accuracy.point[i] =
            (sgp_status_point_t){30.0 * i, 100.0 * i, 0.76 - 0.6 * exp(-i / 3.0)};
}

static void make_lines(sgp_status_snapshot_t *snapshot) {
    static const char *const lines[] = {"joined by 127.0.0.1:7070", "epoch 1: loss 1.2345",
                                        "a message of step 12 came late", "epoch 2: loss 0.7654"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        sgp_status_line_t *line = &snapshot->line[snapshot->lines++];
        *line = (sgp_status_line_t){.seconds = 1 + 100 * (double)i,
                                    .level = i == 2 ? SGP_LOG_WARNING : SGP_LOG_INFO};
        snprintf(line->text, sizeof line->text, "%s", lines[i]);
    }
}

void synthetic_make(sgp_status_snapshot_t *snapshot, size_t members) {
    *snapshot = (sgp_status_snapshot_t){.run = "resnet20 on cifar10",
                                        .run_id = UINT64_C(0x0123456789abcdef),
                                        .algorithm = "sgp",
                                        .graph = "exponential",
                                        .encoding = "float32",
                                        .transport = "tcp",
                                        .seconds = 361.5,
                                        .seconds_left = 1234,
                                        .epochs = 10,
                                        .distance = 0.0123,
                                        .distance_step = 1100,
                                        .members = members};
    snapshot->member = make(members, sizeof *snapshot->member);
    for (size_t i = 0; i < members; i++) make_member(&snapshot->member[i], (int)i);
    make_edges(snapshot);
    make_curves(snapshot);
    make_lines(snapshot);
}

void synthetic_slow(sgp_status_snapshot_t *snapshot, int seat, double factor) {
    sgp_status_member_t *member = &snapshot->member[seat];
    member->compute_ms *= factor;
    member->update_ms *= factor;
    member->wait_ms = 0.5;
    member->step_ms = member->compute_ms + member->update_ms + member->wait_ms;
}

void synthetic_lose(sgp_status_snapshot_t *snapshot, int seat, const char *reason) {
    sgp_status_member_t *member = &snapshot->member[seat];
    member->condition = SGP_STATUS_GONE;
    member->gone_step = 1100;
    member->age = 20;
    snprintf(member->reason, sizeof member->reason, "%s", reason);
}

void synthetic_forget(sgp_status_snapshot_t *snapshot, int seat) {
    sgp_status_member_t *member = &snapshot->member[seat];
    double *const numbers[] = {&member->age,           &member->samples_per_second,
                               &member->step_ms,       &member->compute_ms,
                               &member->update_ms,     &member->wait_ms,
                               &member->weight,        &member->loss,
                               &member->accuracy,      &snapshot->distance,
                               &snapshot->seconds_left};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) *numbers[i] = NAN;
    snapshot->edge[seat].age = NAN;
    member->memory = 0;
    *member->host = '\0';
}

void synthetic_trouble(sgp_status_snapshot_t *snapshot, int seat) {
    sgp_status_member_t *member = &snapshot->member[seat];
    member->lost = 1001;
    member->late = 1002;
    member->refused = 1003;
    member->resent = 1004;
    member->incarnation = 2;
}

void synthetic_free(sgp_status_snapshot_t *snapshot) {
    free(snapshot->member);
    free(snapshot->edge);
    snapshot->member = NULL;
    snapshot->edge = NULL;
}
