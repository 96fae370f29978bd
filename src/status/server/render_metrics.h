/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot as the text of /metrics, in the format of OpenMetrics 1.0 or of Prometheus 0.0.4: the samples are the same,
 * but the types have other names. Both end with the one line "# EOF". A number that is not known has no sample. */
#ifndef SGP_STATUS_SERVER_RENDER_METRICS_H
#define SGP_STATUS_SERVER_RENDER_METRICS_H

#include "status/server/digest.h"
#include "status/server/render_text.h"

typedef enum metrics_format { METRICS_PROMETHEUS, METRICS_OPEN } metrics_format_t;

void render_metrics(render_t *text, metrics_format_t format, const sgp_status_snapshot_t *snapshot,
                    const digest_t *digest);

#endif
