/* SPDX-License-Identifier: Apache-2.0 */
#include "status/server/snapshot_cache.h"

#include "status/server/page_frame.h"
#include "status/server/render_json.h"
#include "status/server/render_metrics.h"

#include <stdlib.h>

void rendered_release(rendered_t *rendered) {
    if (!rendered || --rendered->uses > 0) return;
    free(rendered->bytes);
    free(rendered);
}

void cache_init(snapshot_cache_t *cache, const sgp_status_source_t *source) {
    *cache = (snapshot_cache_t){.source = *source};
}

static void forget_forms(snapshot_cache_t *cache) {
    for (int i = 0; i < FORMS; i++) {
        rendered_release(cache->form[i]);
        cache->form[i] = NULL;
    }
}

void cache_fini(snapshot_cache_t *cache) {
    forget_forms(cache);
    digest_free(&cache->digest);
    if (cache->filled) cache->source.release(cache->source.context, &cache->snapshot);
}

/* Without memory the last snapshot serves on. */
static void refresh(snapshot_cache_t *cache, uint64_t now) {
    digest_t digest;
    if (cache->taken && now - cache->at < CACHE_AGE) return;
    if (cache->source.take(cache->source.context, &cache->snapshot) != SGP_OK) return;
    cache->filled = true;
    forget_forms(cache);
    digest_free(&cache->digest);
    cache->taken = digest_make(&cache->snapshot, &digest) == SGP_OK;
    if (cache->taken) cache->digest = digest;
    cache->at = now;
}

static void render(const snapshot_cache_t *cache, form_t form, render_t *text) {
    switch (form) {
    case FORM_PAGE:
        page_render(text, &cache->snapshot, &cache->digest, cache->source.write_flight != NULL);
        break;
    case FORM_MEMBERS:
        page_render_members(text, &cache->snapshot, &cache->digest);
        break;
    case FORM_JSON:
        render_json(text, &cache->snapshot, &cache->digest);
        break;
    case FORM_PROMETHEUS:
        render_metrics(text, METRICS_PROMETHEUS, &cache->snapshot, &cache->digest);
        break;
    case FORM_OPEN_METRICS:
        render_metrics(text, METRICS_OPEN, &cache->snapshot, &cache->digest);
        break;
    default:
        page_render_event(text, &cache->snapshot, &cache->digest);
    }
}

rendered_t *cache_get(snapshot_cache_t *cache, form_t form, uint64_t now) {
    refresh(cache, now);
    if (!cache->taken) return NULL;
    if (!cache->form[form]) {
        render_t text = {0};
        rendered_t *made = malloc(sizeof *made);
        render(cache, form, &text);
        if (!made || text.failed) {
            free(made);
            render_free(&text);
            return NULL;
        }
        *made = (rendered_t){text.bytes, text.length, 1};
        cache->form[form] = made;
    }
    cache->form[form]->uses++;
    return cache->form[form];
}
