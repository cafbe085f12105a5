import { NextResponse } from "next/server";
import type { NextRequest } from "next/server";

// What runs before the routes (this file was called middleware.ts before
// Next.js 16) must leave webhooks alone; see the README.
export function proxy(request: NextRequest) {
  // A login check, a locale redirect and the like would stand here.
  const response = NextResponse.next();
  response.headers.set("x-seen-by-proxy", request.nextUrl.pathname);
  return response;
}

export const config = {
  matcher: ["/((?!api/webhooks/|_next/static|_next/image|favicon.ico).*)"],
};
