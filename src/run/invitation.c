/* SPDX-License-Identifier: Apache-2.0 */
#include "run/invitation.h"

#include "base/logging.h"
#include "files/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the nodes agree on, but for the files that they began from: a newcomer needs none of them. */
static void list(const train_options_t *options, const replica_t *replica, agreement_t *agreement) {
    train_options_t own = *options;
    replica_t plain = *replica;
    own.resume = NULL;
    plain.initial_hash[0] = '\0';
    config_agreement(&own, &plain, agreement);
}

sgp_status_t invitation_make(const train_options_t *options, const replica_t *replica,
                             const char *id, char **text, size_t *bytes) {
    agreement_t agreement;
    list(options, replica, &agreement);
    files_json_begin();
    json_t *json = json_pack("{s:s, s:s, s:s?, s:o, s:s}", "sgp_version", SGP_VERSION, RUN_ID_KEY,
                             id, "output", options->output, "options", config_options_json(options),
                             "agreement", agreement.text);
    char *made = json ? json_dumps(json, JSON_COMPACT | FILES_JSON_FLAGS) : NULL;
    json_decref(json);
    if (!made || files_json_failed()) {
        free(made);
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the options that a newcomer is told");
    }
    size_t length = strlen(made);
    if (length > INVITATION_BYTES) {
        free(made);
        return sgp_fail(SGP_ERR_INVALID,
                        "the options of the run are %zu bytes of text: newcomers can be told %zu",
                        length, INVITATION_BYTES);
    }
    *text = made;
    *bytes = length;
    return SGP_OK;
}

/* ---- a newcomer ---- */

/* The member as a string; NULL: there is none, or it holds a zero byte. */
static const char *text_of(const json_t *json, const char *key) {
    const json_t *value = json_object_get(json, key);
    const char *text = json_string_value(value);
    return text && strlen(text) == json_string_length(value) ? text : NULL;
}

static bool take(const json_t *json, invitation_t *invitation) {
    const char *id = text_of(json, RUN_ID_KEY), *agreement = text_of(json, "agreement");
    if (!id || strlen(id) >= sizeof invitation->run_id) return false;
    if (!agreement || strlen(agreement) >= AGREEMENT_BYTES) return false;
    invitation->options = json_object_get(json, "options");
    if (!json_is_object(invitation->options)) return false;
    invitation->output = text_of(json, "output");
    memcpy(invitation->run_id, id, strlen(id) + 1);
    agreement_init(&invitation->agreement);
    invitation->agreement.length = strlen(agreement);
    memcpy(invitation->agreement.text, agreement, invitation->agreement.length);
    return true;
}

sgp_status_t invitation_read(const void *bytes, size_t count, invitation_t *invitation) {
    *invitation = (invitation_t){.json = NULL};
    files_json_begin();
    json_t *json = count <= INVITATION_BYTES
                       ? files_json_parse(bytes, count, JSON_REJECT_DUPLICATES, NULL)
                       : NULL;
    if (files_json_failed()) {
        json_decref(json);
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the options of the run");
    }
    const char *version = text_of(json, "sgp_version");
    sgp_status_t status = SGP_OK;
    if (!version)
        status = sgp_fail(SGP_ERR_FORMAT, "the group does not belong to a run of sgp train");
    else if (strcmp(version, SGP_VERSION) != 0)
        status = sgp_fail(SGP_ERR_MISMATCH, "the run is one of sgp %.32s, and this is " SGP_VERSION,
                          version);
    else if (!take(json, invitation))
        status = sgp_fail(SGP_ERR_FORMAT, "the options of the run cannot be read");
    if (status) {
        json_decref(json);
        *invitation = (invitation_t){.json = NULL};
    } else invitation->json = json;
    return status;
}

void invitation_release(invitation_t *invitation) {
    json_decref(invitation->json);
    *invitation = (invitation_t){.json = NULL};
}

bool invitation_options(const invitation_t *invitation, train_options_t *options,
                        config_mistake_t *mistake) {
    if (!config_options_read(invitation->options, options, mistake)) return false;
    options->init = options->resume = NULL;
    return true;
}

bool invitation_check(const invitation_t *invitation, const train_options_t *options,
                      const replica_t *replica, char *why, size_t room) {
    agreement_difference_t difference;
    agreement_t *both = calloc(2, sizeof *both);
    if (!both) {
        snprintf(why, room, "the newcomer has no memory");
        return false;
    }
    both[0] = invitation->agreement;
    list(options, replica, &both[1]);
    bool differs = agreement_compare(both, 2, &difference);
    if (differs)
        snprintf(why, room, "%s is %.80s in the run, and %.80s on the newcomer", difference.name,
                 difference.value0, difference.value);
    free(both);
    return !differs;
}
