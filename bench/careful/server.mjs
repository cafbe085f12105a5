// The careful handler: verify, one INSERT of the raw body, answer; a poller does
// the work afterwards and ends each job in the transaction of its effect.
import Fastify from 'fastify'
import pg from 'pg'
import Stripe from 'stripe'
import { work } from './work.mjs'

const stripe = new Stripe('sk_test_only_for_the_benchmark')
const secret = process.env.STRIPE_WEBHOOK_SECRET
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 20 })
pool.on('error', () => {})

const app = Fastify()
app.removeContentTypeParser('application/json')
app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (req, body, done) => done(null, body))
app.post('/hooks/stripe', async (req, reply) => {
  let event
  try {
    event = stripe.webhooks.constructEvent(req.body, req.headers['stripe-signature'], secret)
  } catch (err) {
    return reply.code(400).send('bad signature')
  }
  await pool.query({
    name: 'insert',
    text: 'INSERT INTO inbox (event_id, body) VALUES ($1, $2) ON CONFLICT (event_id) DO NOTHING',
    values: [event.id, req.body],
  })
  return 'ok'
})

const BATCH = 100

async function poll() {
  const db = await pool.connect()
  try {
    await db.query('BEGIN')
    const due = await db.query({
      name: 'due',
      text: `SELECT id, body, tries FROM inbox WHERE done_at IS NULL AND next_at <= now()
             ORDER BY next_at, id LIMIT ${BATCH} FOR UPDATE SKIP LOCKED`,
    })
    const done = []
    const failed = []
    for (const job of due.rows) {
      try {
        await work(db, JSON.parse(job.body))
        done.push(job.id)
      } catch (err) {
        if (err.code) throw err // the database's: the transaction is lost, all of it comes again
        failed.push(job.id)
      }
    }
    if (done.length > 0) await db.query('UPDATE inbox SET done_at = now() WHERE id = ANY($1)', [done])
    if (failed.length > 0) {
      await db.query("UPDATE inbox SET tries = tries + 1, next_at = now() + interval '1 second' WHERE id = ANY($1)", [failed])
    }
    await db.query('COMMIT')
    return due.rowCount
  } catch (err) {
    await db.query('ROLLBACK').catch(() => {})
    return 0
  } finally {
    db.release()
  }
}

async function pollForEver() {
  for (;;) {
    const n = await poll().catch(() => 0)
    if (n < BATCH) await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' })
pollForEver()
