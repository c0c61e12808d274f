import { type ErrorCode, errorList } from "../../shared/errors.ts";
import { type Block, heading, paragraph, table } from "./blocks.ts";

/** One entry of the list of errors, as `GET /api/errors` answers it. */
export function errorEntry(code: ErrorCode) {
  const { sqlState, status, retryable, title, advice } = errorList[code];
  return { code, sqlState, status, retryable, title, advice };
}

export function errorEntries() {
  return (Object.keys(errorList) as ErrorCode[]).map(errorEntry);
}

/** As GitHub names the anchor of a heading. */
function anchorOf(code: ErrorCode): string {
  return code.toLowerCase().replaceAll(".", "");
}

/** The page of all errors. */
export function errorsPage(): Block[] {
  return [
    heading(1, "Errors"),
    paragraph(
      "Every error answer is an RFC 9457 problem document, `application/problem+json`, with a stable `code`, a `detail` " +
        "for people, a `hint` that says what to do, and the `correlationId` that the logs carry. `type` leads to the " +
        "code's own page, `/functions/v1/api/errors/<code>`. `errors` lists the places of a request that do not fit. SQL " +
        "functions raise the same errors under the SQLSTATE; the Data API hands it on as `code`.",
    ),
    table(
      ["code", "SQLSTATE", "HTTP", "retry", "meaning"],
      errorEntries().map(({ code, sqlState, status, retryable, title }) => [
        `[${code}](#${anchorOf(code)})`,
        sqlState ?? "–",
        String(status),
        retryable ? "yes" : "no",
        title,
      ]),
    ),
    paragraph("_Retry_ says whether the same request may succeed later without being changed."),
    ...errorEntries().flatMap(({ code }) => errorBlocks(code, 2)),
  ];
}

/** What is said of one error. */
export function errorBlocks(code: ErrorCode, level: 1 | 2): Block[] {
  const { sqlState, status, retryable, title, advice } = errorEntry(code);
  return [
    heading(level, code, anchorOf(code)),
    paragraph(
      `${title}. HTTP ${status}${sqlState === null ? "" : `, SQLSTATE \`${sqlState}\``}; ` +
        (retryable ? "the same request may succeed later." : "the same request will fail again."),
    ),
    paragraph(`What to do: ${advice.charAt(0).toLowerCase()}${advice.slice(1)}.`),
  ];
}
