"""The page in the browser: `catalogue` and `visit` know what it says and does, `html` how it looks, `page` Gradio."""
