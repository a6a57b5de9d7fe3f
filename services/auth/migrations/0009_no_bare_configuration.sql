-- Values that were kept in the clear, and reached no script: they are configuration now, and sealed.

UPDATE connections SET options = options - 'bareConfiguration' WHERE options ? 'bareConfiguration';
