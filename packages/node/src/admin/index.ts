/** The daemon as a whole: its status, its settings, its end. */
export { type AdminDeps, createAdminRoutes } from './routes.ts'
