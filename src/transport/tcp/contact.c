/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/contact.h"

#include <stdatomic.h>

/* For which a rank may be called again before it counts as silent: some switches and address translators end idle
 * connections. */
#define MENDING (100 * SGP_MILLISECOND)

void sgp_contact_opened(sgp_contact_t *contact) {
    contact->broken = 0;
    contact->flags = 0;
}

void sgp_contact_closed(sgp_contact_t *contact, uint64_t heard) {
    if (heard > contact->heard) contact->heard = heard;
}

void sgp_contact_lost(sgp_contact_t *contact, uint64_t now) {
    if (!contact->broken) contact->broken = now;
    contact->flags = 0;
}

bool sgp_contact_hear(sgp_contact_t *contact, uint32_t flags) {
    uint32_t before = contact->flags;
    contact->flags = flags;
    return (flags & SGP_PULSE_WERE_SILENT) && !(before & SGP_PULSE_WERE_SILENT);
}

/* As long as the other is silent it is told again: nothing may get through to it. */
uint32_t sgp_contact_speak(sgp_contact_t *contact, bool hangs) {
    bool unheard = contact->noted & SGP_SILENCE_UNHEARD;
    uint32_t flags = (contact->untold ? SGP_PULSE_WERE_SILENT : 0) |
                     (unheard ? SGP_PULSE_ARE_SILENT : 0) | (hangs ? SGP_PULSE_HANGS : 0);
    if (!unheard) contact->untold = false;
    return flags;
}

static bool is_unheard(const sgp_contact_t *contact, uint64_t now, const sgp_limits_t *limits) {
    if (contact->broken && now - contact->broken > MENDING) return true;
    return now - contact->last > limits->suspect;
}

unsigned sgp_contact_look(sgp_contact_t *contact, uint64_t heard, uint64_t now,
                          const sgp_limits_t *limits) {
    uint64_t last = heard > contact->heard ? heard : contact->heard;
    atomic_store(&contact->last, last);
    if (!last) return 0;
    unsigned reasons = is_unheard(contact, now, limits) ? SGP_SILENCE_UNHEARD : 0;
    if (contact->flags & SGP_PULSE_ARE_SILENT) reasons |= SGP_SILENCE_TOLD;
    if (contact->flags & SGP_PULSE_HANGS) reasons |= SGP_SILENCE_HUNG;
    if (reasons & SGP_SILENCE_UNHEARD && !(contact->noted & SGP_SILENCE_UNHEARD))
        contact->untold = true;
    return reasons;
}

uint64_t sgp_contact_silence(const sgp_contact_t *contact, uint64_t now) {
    uint64_t last = atomic_load(&contact->last);
    return last && last < now ? now - last : 0;
}

static uint64_t later(uint64_t time, uint64_t late, uint64_t now) {
    return late < now - time ? time + late : now;
}

void sgp_contact_forgive(sgp_contact_t *contact, uint64_t late, uint64_t now) {
    if (contact->heard) contact->heard = later(contact->heard, late, now);
    if (contact->broken) contact->broken = later(contact->broken, late, now);
}
