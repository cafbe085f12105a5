// The usual handler: verify, look whether the event is known, insert it, do the
// work inside the request, answer 500 on failure so that the sender tries again.
import express from 'express'
import pg from 'pg'
import Stripe from 'stripe'
import { work } from './work.mjs'

const stripe = new Stripe('sk_test_only_for_the_benchmark')
const secret = process.env.STRIPE_WEBHOOK_SECRET
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
pool.on('error', () => {})

const app = express()
app.post('/hooks/stripe', express.raw({ type: 'application/json', limit: '1mb' }), async (req, res) => {
  let event
  try {
    event = stripe.webhooks.constructEvent(req.body, req.headers['stripe-signature'], secret)
  } catch (err) {
    return res.status(400).send('bad signature')
  }
  try {
    const known = await pool.query('SELECT id FROM webhook_events WHERE event_id = $1', [event.id])
    if (known.rowCount > 0) return res.status(200).send('already processed')
    await pool.query(
      'INSERT INTO webhook_events (event_id, type, payload) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
      [event.id, event.type, event.data.object],
    )
    await work(pool, event)
  } catch (err) {
    return res.status(500).send('error')
  }
  res.status(200).send('ok')
})
app.listen(Number(process.env.PORT), '127.0.0.1')
