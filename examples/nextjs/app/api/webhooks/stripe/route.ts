import Stripe from "stripe";

// Node's crypto, not the edge runtime: constructEvent is synchronous.
export const runtime = "nodejs";

export async function POST(request: Request): Promise<Response> {
  const secret = process.env.STRIPE_WEBHOOK_SECRET;
  if (!secret) {
    // 500, not 400: hookkeeper tries again until somebody has set it.
    console.error("STRIPE_WEBHOOK_SECRET is not set");
    return new Response("webhook secret is not configured", { status: 500 });
  }
  // The signature covers these very bytes. request.json() and a stringify
  // behind it give other ones.
  const body = await request.text();
  let event: Stripe.Event;
  try {
    event = Stripe.webhooks.constructEvent(body, request.headers.get("stripe-signature") ?? "", secret);
  } catch (cause) {
    console.error("refused:", cause instanceof Error ? cause.message.split("\n")[0] : cause);
    return new Response("signature does not verify", { status: 400 });
  }
  // Delivery is at least once. This key is the same each time this event comes:
  // write it into a column with a unique index, in the transaction that does
  // the work, and answer 200 if it is there already.
  const key = request.headers.get("idempotency-key") ?? event.id;
  console.log(event.type, event.id, key);
  return Response.json({ received: true });
}
