import { createRoot } from 'react-dom/client';
import { App } from './app';
import './styles/base.css';
import './styles/parts.css';
import './styles/views.css';
import { applyStoredTheme } from './ui/theme';

applyStoredTheme();
createRoot(document.getElementById('root')!).render(<App />);
