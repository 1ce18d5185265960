// The page. The rule: it is rendered on the server, and only the counts are a client component.

import { ArticleCounts } from './article-counts'

export default function Home() {
  return (
    <main>
      <h1>Counts that change before your eyes</h1>
      <p>Open this page twice, and press the button in one of them.</p>
      <ArticleCounts contentId="article-1" />
    </main>
  )
}
