#!/usr/bin/env node
// ClickHouse in the process holds a libuv thread for each statement it runs, up to four, which is all there are by default:
// durable appends would wait behind a slow query. The pool's size is read when it is first used, which the loader of
// ES modules does before any of them runs; hence this file.
process.env.UV_THREADPOOL_SIZE ??= '16'
void import('./main.ts')
