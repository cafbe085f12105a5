import { Pool } from "pg";

const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 5, statement_timeout: 2000 });

export type Access = { plan: string; until: Date; why: string };

/** accessOf says what a user may use, or null. The view knows grace periods and trials. */
export async function accessOf(user: string): Promise<Access | null> {
  const { rows } = await pool.query<Access>(
    "SELECT plan, until, why FROM hookkeeper.access WHERE user_id = $1 AND has_access ORDER BY until DESC LIMIT 1",
    [user],
  );
  return rows[0] ?? null;
}

export type Notice = { id: string; title: string; body: string };

/** noticesOf gives the newest notices of a user. */
export async function noticesOf(user: string): Promise<Notice[]> {
  const { rows } = await pool.query<Notice>(
    "SELECT id, title, body FROM hookkeeper.notifications WHERE user_id = $1 ORDER BY created_at DESC LIMIT 20",
    [user],
  );
  return rows;
}
