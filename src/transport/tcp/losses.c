/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/losses.h"

#include "base/clock.h"
#include "base/logging.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void change(sgp_losses_t *losses, int rank, sgp_fate_t fate, const char *why) {
    sgp_loss_t *loss = &losses->of[rank];
    if (loss->fate.state != SGP_FATE_PRESENT) return;
    loss->fate = fate;
    loss->why = why ? strdup(why) : NULL;
    if (losses->known == losses->count) losses->since = sgp_clock_now();
    losses->changed[losses->count++] = rank;
    losses->changes++;
}

void sgp_losses_lose(sgp_losses_t *losses, int rank, sgp_fate_t fate, const char *why) {
    int told = losses->elastic ? -1 : losses->of[rank].told;
    bool ended = fate.cause == SGP_CAUSE_CLOSED || fate.cause == SGP_CAUSE_REFUSED;
    if (ended && told >= 0) change(losses, rank, sgp_fate_followed(told), NULL);
    else change(losses, rank, fate, why);
}

void sgp_losses_leave(sgp_losses_t *losses, int rank) {
    change(losses, rank, sgp_fate_left(), NULL);
}

void sgp_losses_heard(sgp_losses_t *losses, int from, const char *name, uint32_t word) {
    int rank;
    sgp_cause_t cause;
    char why[160];
    if (!sgp_loss_unpack(word, losses->capacity, &rank, &cause)) return;
    if (rank == from) {
        int told = losses->elastic ? -1 : losses->of[from].told;
        change(losses, from, told >= 0 ? sgp_fate_followed(told) : sgp_fate_lost(cause), NULL);
        return;
    }
    if (losses->of[from].told < 0) losses->of[from].told = rank;
    if (rank == losses->rank || losses->of[rank].incarnation > 0) return;
    snprintf(why, sizeof why, "%s, says %s", sgp_cause_text(cause), name);
    change(losses, rank, sgp_fate_lost(cause), why);
}

bool sgp_losses_names_self(const sgp_losses_t *losses, uint32_t word) {
    int rank;
    sgp_cause_t cause;
    return sgp_loss_unpack(word, losses->capacity, &rank, &cause) && rank == losses->rank;
}

int sgp_losses_next(sgp_losses_t *losses) {
    return losses->acted < losses->count ? losses->changed[losses->acted++] : -1;
}

bool sgp_losses_frame(const sgp_losses_t *losses, int rank, sgp_frame_kind_t *kind,
                      uint32_t *value) {
    sgp_fate_t fate = losses->of[rank].fate;
    if (fate.state == SGP_FATE_PRESENT || fate.state == SGP_FATE_ABSENT) return false;
    if (losses->of[rank].incarnation > 0) return false;
    if (fate.state == SGP_FATE_LOST && fate.cause == SGP_CAUSE_FOLLOWED) return false;
    bool left = fate.state == SGP_FATE_LEFT;
    *kind = left ? SGP_FRAME_LEFT : SGP_FRAME_LOST;
    *value = left ? (uint32_t)rank : sgp_loss_pack(rank, fate.cause);
    return true;
}

uint64_t sgp_losses_unpublished(const sgp_losses_t *losses) {
    for (int i = losses->known; i < losses->acted; i++)
        if (sgp_losses_state(losses, losses->changed[i]) == SGP_FATE_LOST) return losses->since;
    return 0;
}

void sgp_losses_publish(sgp_losses_t *losses,
                        void (*note)(void *owner, int rank, sgp_fate_t fate, const char *why),
                        void *owner) {
    while (losses->known < losses->acted) {
        int rank = losses->changed[losses->known++];
        sgp_loss_t *loss = &losses->of[rank];
        note(owner, rank, loss->fate, loss->why);
        free(loss->why);
        loss->why = NULL;
    }
}

/* Each seat is among the changed ones once at most, so there is room for all. */
static void forget_published(sgp_losses_t *losses) {
    int kept = losses->count - losses->known;
    memmove(losses->changed, losses->changed + losses->known, (size_t)kept * sizeof(int));
    losses->acted -= losses->known;
    losses->count = kept;
    losses->known = 0;
}

void sgp_losses_seat(sgp_losses_t *losses, int rank, uint32_t incarnation, bool present) {
    sgp_loss_t *loss = &losses->of[rank];
    forget_published(losses);
    free(loss->why);
    *loss = (sgp_loss_t){.fate = {.state = present ? SGP_FATE_PRESENT : SGP_FATE_ABSENT, .of = -1},
                         .incarnation = incarnation,
                         .told = -1};
}

sgp_status_t sgp_losses_init(sgp_losses_t *losses, int rank, int capacity, int size) {
    *losses = (sgp_losses_t){.rank = rank, .capacity = capacity};
    losses->of = calloc((size_t)capacity, sizeof *losses->of);
    losses->changed = calloc((size_t)capacity, sizeof *losses->changed);
    if (!losses->of || !losses->changed)
        return sgp_fail(SGP_ERR_NO_MEMORY, "tcp: no memory to connect %d nodes", capacity);
    for (int r = 0; r < capacity; r++) sgp_losses_seat(losses, r, 0, r < size);
    return SGP_OK;
}

void sgp_losses_fini(sgp_losses_t *losses) {
    for (int r = 0; losses->of && r < losses->capacity; r++) free(losses->of[r].why);
    free(losses->of);
    free(losses->changed);
}
