/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot as the JSON of /status.json; docs/status.md has its fields, which are a promise. */
#ifndef SGP_STATUS_SERVER_RENDER_JSON_H
#define SGP_STATUS_SERVER_RENDER_JSON_H

#include "status/server/digest.h"
#include "status/server/render_text.h"

void render_json(render_t *text, const sgp_status_snapshot_t *snapshot, const digest_t *digest);

#endif
