import { accessOf, noticesOf } from "../../lib/access";

export const dynamic = "force-dynamic"; // whoever has just paid must not see yesterday's page

type Props = { searchParams: Promise<{ user?: string }> };

export default async function Account({ searchParams }: Props) {
  const { user = "" } = await searchParams; // a real page takes it from the session
  const [access, notices] = await Promise.all([accessOf(user), noticesOf(user)]);
  return (
    <main>
      {access ? (
        <h1>
          {access.plan}: {access.until.toISOString().slice(0, 10)}까지 이용하실 수 있습니다 ({access.why})
        </h1>
      ) : (
        <h1>이용 중인 구독이 없습니다</h1>
      )}
      <ul>
        {notices.map((n) => (
          <li key={n.id}>
            <strong>{n.title}</strong> {n.body}
          </li>
        ))}
      </ul>
    </main>
  );
}
