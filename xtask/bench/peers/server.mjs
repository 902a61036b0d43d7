// better-auth's API keys behind express: one process for each worker, one database.
//
// Settings: DATABASE_URL, PORT, WORKERS. It prints a line of KEY and a key that verifies.

import cluster from 'node:cluster';
import { apiKey } from '@better-auth/api-key';
import { betterAuth } from 'better-auth';
import { getMigrations } from 'better-auth/db/migration';
import express from 'express';
import pg from 'pg';

const workers = Number(process.env.WORKERS);
const options = {
  database: new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 16 }),
  secret: 'a secret for a measurement, of no use to anybody',
  baseURL: `http://127.0.0.1:${process.env.PORT}`,
  emailAndPassword: { enabled: true },
  // Ours counts every call against a limit that is never reached; here limits are off.
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  plugins: [apiKey({ rateLimit: { enabled: false } })],
};
const auth = betterAuth(options);

if (cluster.isPrimary) {
  const { runMigrations } = await getMigrations(options);
  await runMigrations();
  const { user } = await auth.api.signUpEmail({
    body: { name: 'Bench', email: 'bench@example.com', password: 'a long enough password' },
  });
  const { key } = await auth.api.createApiKey({ body: { name: 'bench', userId: user.id } });
  console.log(`KEY ${key}`);
  for (let n = 0; n < workers; n += 1) cluster.fork();
  process.on('SIGTERM', () => process.exit(0));
} else {
  const app = express();
  app.disable('x-powered-by');
  app.get('/bare', (request, response) => response.json({ valid: true, name: 'bench' }));
  app.get('/verify', async (request, response) => {
    const key = request.get('x-api-key') ?? '';
    const answer = await auth.api.verifyApiKey({ body: { key } });
    response.status(answer.valid ? 200 : 401).json({ valid: answer.valid, name: answer.key?.name });
  });
  app.listen(Number(process.env.PORT), '127.0.0.1');
}
